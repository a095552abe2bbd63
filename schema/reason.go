package schema

// Why a whole body is in quarantine after Parse failed; the sender is told 400.
const (
	// ReasonNotJSON says that the body is empty, cut off, or breaks the grammar of JSON.
	ReasonNotJSON Reason = "not-json"
	// ReasonTooDeep says that the body nests deeper than a JSON reader can be expected to follow
	// (10,000 levels). A body that becomes too deep only by being wrapped in a message has it too,
	// but is no error of Parse.
	ReasonTooDeep Reason = "too-deep"
	// ReasonInvalidUTF8 says that a string is not valid UTF-8 or escapes half a surrogate pair. Outside the
	// elements of Events it concerns the body, inside one that element alone.
	ReasonInvalidUTF8 Reason = "invalid-utf8"
	// ReasonDuplicateMember says that an object has two members of one name. Outside the elements of Events
	// it concerns the body, inside one that element alone.
	ReasonDuplicateMember Reason = "duplicate-member"
	// ReasonInvalidGzip says that the body was announced as gzip and is not; the bytes are kept as they came.
	// It is no error of Parse.
	ReasonInvalidGzip Reason = "invalid-gzip"
)

// Why a whole body that is JSON is in quarantine.
const (
	// ReasonUnknownKind says that the body has neither an Events array nor an Action string.
	ReasonUnknownKind Reason = "unknown-kind"
	// ReasonInvalidAction says that the Action is not a subject token.
	ReasonInvalidAction Reason = "invalid-action"
	// ReasonTooManyEvents says that Events has more than MaxEvents elements.
	ReasonTooManyEvents Reason = "too-many-events"
	// ReasonTooLarge says that the messages of the webhook could exceed MaxExpansion.
	ReasonTooLarge Reason = "too-large"
)

// Why a single element of Events is in quarantine, besides ReasonInvalidUTF8 and ReasonDuplicateMember.
const (
	// ReasonNotObject says that the element is not an object.
	ReasonNotObject Reason = "not-object"
	// ReasonNoDiscriminator says that the element has no member Discriminator.
	ReasonNoDiscriminator Reason = "no-discriminator"
	// ReasonInvalidDiscriminator says that the Discriminator is not a string or not a subject token.
	ReasonInvalidDiscriminator Reason = "invalid-discriminator"
)

// Reasons returns every reason, in a fixed order.
func Reasons() []Reason {
	return []Reason{
		ReasonNotJSON, ReasonTooDeep, ReasonInvalidUTF8, ReasonDuplicateMember, ReasonInvalidGzip,
		ReasonUnknownKind, ReasonInvalidAction, ReasonTooManyEvents, ReasonTooLarge,
		ReasonNotObject, ReasonNoDiscriminator, ReasonInvalidDiscriminator,
	}
}
