package simulator

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"mewsbridge/schema"
)

// enterprises is how many hotels a generator sends for.
const enterprises = 8

// Generator makes the bodies of webhooks. The same generator and number always give the same bytes; each
// event, and each integration, has an id of its own. Its methods may be called concurrently.
type Generator struct {
	Seed   uint64
	Events int      // per General webhook
	Types  []string // discriminators, or actions when Integration is set; empty is all documented ones

	// Integration makes Integration webhooks, one event each. Their credentials are made up.
	Integration bool
}

// PerWebhook returns how many events one webhook has.
func (g *Generator) PerWebhook() int {
	if g.Integration {
		return 1
	}
	return g.Events
}

// Body returns the webhook with that number, counted from 0.
func (g *Generator) Body(number int) []byte {
	random := rand.New(rand.NewPCG(g.Seed, uint64(number)))
	if g.Integration {
		return g.integration(number, random)
	}
	return g.general(number, random)
}

func (g *Generator) general(number int, random *rand.Rand) []byte {
	hotel := random.Uint64N(enterprises)
	b := fmt.Appendf(nil, `{"EnterpriseId":"%s","IntegrationId":"%s","Events":[`,
		drawnID(g.Seed, hotel), drawnID(g.Seed, enterprises+hotel))
	for i := range g.Events {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, `{"Discriminator":`...)
		b = appendString(b, g.draw(random, discriminators))
		b = append(b, `,"Value":{"Id":"`...)
		b = append(b, EntityID(g.Seed, uint64(number)*uint64(g.Events)+uint64(i))...)
		b = append(b, `"}}`...)
	}
	return append(b, `]}`...)
}

func (g *Generator) integration(number int, random *rand.Rand) []byte {
	action := g.draw(random, actions)
	hotel := random.Uint64N(enterprises)
	b := appendString([]byte(`{"Action":`), action)
	b = fmt.Appendf(b, `,"Data":{"Integration":{"Id":"%s","Name":"Integration %d"}`, EntityID(g.Seed, uint64(number)), number+1)
	switch schema.Action(action) {
	case schema.ActionIntegrationCreated:
		b = fmt.Appendf(b, `,"Enterprise":{"Id":"%s","Name":"Hotel %d"},"Service":{"Id":"%s","Name":"Stay"}`+
			`,"Requestor":{"Name":"Simulated Person","Email":"person@example.com"},"AccessToken":"%s"`+
			`,"CreatedUtc":"%s","IsEnabled":true`, drawnID(g.Seed, hotel), hotel+1,
			drawnID(g.Seed, 2*enterprises+hotel), credential(random), instant(number))
	case schema.ActionIntegrationDeleted:
		b = fmt.Appendf(b, `,"DeletedUtc":"%s"`, instant(number))
	case schema.ActionIntegrationAPIKeyCreated:
		b = fmt.Appendf(b, `,"ApiKey":"%s"`, credential(random))
	}
	return append(b, `}}`...)
}

func (g *Generator) draw(random *rand.Rand, documented func() []string) string {
	types := g.Types
	if len(types) == 0 {
		types = documented()
	}
	return types[random.IntN(len(types))]
}

func discriminators() []string { return texts(schema.KnownDiscriminators()) }

func actions() []string { return texts(schema.KnownActions()) }

func texts[T ~string](names []T) []string {
	list := make([]string, len(names))
	for i, name := range names {
		list[i] = string(name)
	}
	return list
}

// credential returns text in the form of an access token of Mews; it opens nothing.
func credential(random *rand.Rand) string {
	return fmt.Sprintf("SIMULATED%023X-%032X", random.Uint64(), random.Uint64())
}

// instant returns a time that depends on the number alone, so that bodies can be made again.
func instant(number int) string {
	return time.Date(2026, 1, 1, 0, 0, number, 0, time.UTC).Format(time.RFC3339)
}

func appendString(b []byte, s string) []byte {
	quoted, err := jsontext.AppendQuote(b, s)
	if err != nil { // s is not valid UTF-8
		return strconv.AppendQuoteToASCII(b, s)
	}
	return quoted
}
