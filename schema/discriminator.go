package schema

// Discriminator is the type of an event as Mews names it. Mews adds some every year: one that is not listed
// here is an ordinary event as long as it is a subject token.
type Discriminator string

// The discriminators that the documentation of General webhooks lists.
const (
	DiscriminatorServiceOrderUpdated  Discriminator = "ServiceOrderUpdated" // a reservation
	DiscriminatorResourceUpdated      Discriminator = "ResourceUpdated"
	DiscriminatorMessageAdded         Discriminator = "MessageAdded"
	DiscriminatorResourceBlockUpdated Discriminator = "ResourceBlockUpdated"
	DiscriminatorCustomerAdded        Discriminator = "CustomerAdded"
	DiscriminatorCustomerUpdated      Discriminator = "CustomerUpdated"
	DiscriminatorPaymentUpdated       Discriminator = "PaymentUpdated"
)

// KnownDiscriminators returns the documented discriminators, in the order of the documentation.
func KnownDiscriminators() []Discriminator {
	return []Discriminator{
		DiscriminatorServiceOrderUpdated, DiscriminatorResourceUpdated, DiscriminatorMessageAdded, DiscriminatorResourceBlockUpdated,
		DiscriminatorCustomerAdded, DiscriminatorCustomerUpdated, DiscriminatorPaymentUpdated,
	}
}

// discriminatorOf converts b without an allocation when it is a documented discriminator.
func discriminatorOf(b []byte) Discriminator {
	switch Discriminator(b) {
	case DiscriminatorServiceOrderUpdated:
		return DiscriminatorServiceOrderUpdated
	case DiscriminatorResourceUpdated:
		return DiscriminatorResourceUpdated
	case DiscriminatorMessageAdded:
		return DiscriminatorMessageAdded
	case DiscriminatorResourceBlockUpdated:
		return DiscriminatorResourceBlockUpdated
	case DiscriminatorCustomerAdded:
		return DiscriminatorCustomerAdded
	case DiscriminatorCustomerUpdated:
		return DiscriminatorCustomerUpdated
	case DiscriminatorPaymentUpdated:
		return DiscriminatorPaymentUpdated
	default:
		return Discriminator(b)
	}
}

// Action is the type of an Integration webhook as Mews names it. One that is not listed here is published
// all the same as long as it is a subject token.
type Action string

// The actions that the documentation of Integration webhooks lists.
const (
	ActionIntegrationCreated       Action = "IntegrationCreated" // carries an AccessToken
	ActionIntegrationEnabled       Action = "IntegrationEnabled"
	ActionIntegrationDisabled      Action = "IntegrationDisabled"
	ActionIntegrationCanceled      Action = "IntegrationCanceled"
	ActionIntegrationReinstated    Action = "IntegrationReinstated"
	ActionIntegrationDeleted       Action = "IntegrationDeleted"
	ActionIntegrationAPIKeyCreated Action = "IntegrationApiKeyCreated" // carries an ApiKey
)

// KnownActions returns the documented actions, in the order of the documentation.
func KnownActions() []Action {
	return []Action{
		ActionIntegrationCreated, ActionIntegrationEnabled, ActionIntegrationDisabled, ActionIntegrationCanceled,
		ActionIntegrationReinstated, ActionIntegrationDeleted, ActionIntegrationAPIKeyCreated,
	}
}
