package schema

// Discriminator is the type of an event as Mews names it. Mews adds some every year: one that is not listed
// here is an ordinary event as long as it is a subject token.
type Discriminator string

// The discriminators that the documentation of General webhooks lists.
const (
	ServiceOrderUpdated  Discriminator = "ServiceOrderUpdated" // a reservation
	ResourceUpdated      Discriminator = "ResourceUpdated"
	MessageAdded         Discriminator = "MessageAdded"
	ResourceBlockUpdated Discriminator = "ResourceBlockUpdated"
	CustomerAdded        Discriminator = "CustomerAdded"
	CustomerUpdated      Discriminator = "CustomerUpdated"
	PaymentUpdated       Discriminator = "PaymentUpdated"
)

// KnownDiscriminators returns the documented discriminators, in the order of the documentation.
func KnownDiscriminators() []Discriminator {
	return []Discriminator{
		ServiceOrderUpdated, ResourceUpdated, MessageAdded, ResourceBlockUpdated,
		CustomerAdded, CustomerUpdated, PaymentUpdated,
	}
}

// discriminatorOf converts b without an allocation when it is a documented discriminator.
func discriminatorOf(b []byte) Discriminator {
	switch Discriminator(b) {
	case ServiceOrderUpdated:
		return ServiceOrderUpdated
	case ResourceUpdated:
		return ResourceUpdated
	case MessageAdded:
		return MessageAdded
	case ResourceBlockUpdated:
		return ResourceBlockUpdated
	case CustomerAdded:
		return CustomerAdded
	case CustomerUpdated:
		return CustomerUpdated
	case PaymentUpdated:
		return PaymentUpdated
	default:
		return Discriminator(b)
	}
}

// Action is the type of an Integration webhook as Mews names it. One that is not listed here is published
// all the same as long as it is a subject token.
type Action string

// The actions that the documentation of Integration webhooks lists.
const (
	IntegrationCreated       Action = "IntegrationCreated" // carries an AccessToken
	IntegrationEnabled       Action = "IntegrationEnabled"
	IntegrationDisabled      Action = "IntegrationDisabled"
	IntegrationCanceled      Action = "IntegrationCanceled"
	IntegrationReinstated    Action = "IntegrationReinstated"
	IntegrationDeleted       Action = "IntegrationDeleted"
	IntegrationAPIKeyCreated Action = "IntegrationApiKeyCreated" // carries an ApiKey
)

// KnownActions returns the documented actions, in the order of the documentation.
func KnownActions() []Action {
	return []Action{
		IntegrationCreated, IntegrationEnabled, IntegrationDisabled, IntegrationCanceled,
		IntegrationReinstated, IntegrationDeleted, IntegrationAPIKeyCreated,
	}
}
