package schema

import "time"

// Change is what every event of a General webhook says: that an entity of an enterprise changed, and no more. Fetch the
// entity by its Id from the Connector API. To Mews, being created is a change too (Mews Connector API, General Webhooks).
type Change struct {
	EnterpriseID  string // the hotel; a UUID
	IntegrationID string // the integration for which Mews sent the webhook; a UUID
	ID            string // the entity's Id, Value.Id of the event; a UUID
	// Entity is the entity's latest state, from the webhook's member Entities that Mews deprecated in 2022. Do not count on it.
	Entity Raw
}

func (Change) decoded() {}

func (c Change) change() Change { return c }

// ServiceOrderUpdated says that a reservation, a kind of service order, was created or changed: fetch it with
// reservations/getAll/2023-06-06.
type ServiceOrderUpdated struct{ Change }

// ResourceUpdated says that a resource, such as a room, was created or changed: fetch it with resources/getAll.
type ResourceUpdated struct{ Change }

// MessageAdded says that a message was added to a thread: fetch it with messages/getAll, which needs the thread's Id.
type MessageAdded struct{ Change }

// ResourceBlockUpdated says that a block of a resource was created or changed: fetch it with resourceBlocks/getAll.
type ResourceBlockUpdated struct{ Change }

// CustomerAdded says that a customer was created: fetch them with customers/getAll. CustomerUpdated for the same Id comes too,
// often in the same webhook.
type CustomerAdded struct{ Change }

// CustomerUpdated says that a customer was created or changed: fetch them with customers/getAll.
type CustomerUpdated struct{ Change }

// PaymentUpdated says that a payment was created or changed: fetch it with payments/getAll.
type PaymentUpdated struct{ Change }

// UnknownEvent is an event of a General webhook whose Discriminator this package does not know.
type UnknownEvent struct {
	Change
	Discriminator Discriminator
}

// Integration is what every event of an Integration webhook names: the connection of one enterprise to the partner's app (Mews
// Connector API, Integration Webhooks).
type Integration struct {
	ID   string // a UUID
	Name string
}

func (Integration) decoded() {}

// Named is a thing with a name.
type Named struct {
	ID   string // a UUID
	Name string
}

// Requestor is the person who asked for an integration.
type Requestor struct {
	Name  Secret
	Email Secret
}

// IntegrationCreated says that an enterprise was connected to the partner's app.
type IntegrationCreated struct {
	Integration
	Enterprise  *Named     // the hotel; nil when Mews did not send it
	Service     *Named     // nil when the integration is not of one service
	Requestor   *Requestor // nil when Mews does not say who, and when it is sealed
	AccessToken Secret     // for the Connector API; a live credential of the enterprise
	CreatedUTC  time.Time  // UTC; zero when Mews did not send it
	IsEnabled   bool       // false also when Mews did not send it
}

// IntegrationEnabled says that the integration was enabled.
type IntegrationEnabled struct{ Integration }

// IntegrationDisabled says that the integration was disabled.
type IntegrationDisabled struct{ Integration }

// IntegrationCanceled says that the integration was canceled.
type IntegrationCanceled struct{ Integration }

// IntegrationReinstated says that a canceled integration was reinstated.
type IntegrationReinstated struct{ Integration }

// IntegrationDeleted says that the integration was deleted.
type IntegrationDeleted struct {
	Integration
	DeletedUTC time.Time // UTC; zero when Mews did not send it
}

// IntegrationAPIKeyCreated says that the integration's access token was made anew: from now on APIKey is the one to use.
type IntegrationAPIKeyCreated struct {
	Integration
	APIKey Secret // a live credential of the enterprise
}

// UnknownIntegration is an event of an Integration webhook whose Action this package does not know. Its data may hold
// credentials all the same.
type UnknownIntegration struct {
	Integration
	Action Action
}
