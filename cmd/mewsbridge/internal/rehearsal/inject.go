package rehearsal

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// Bytes of a connection before it is cut, at most.
const (
	cutAnswerWithin = 600      // two or three answers
	cutNATSWithin   = 64 << 10 // some tens of webhooks
)

func (s *stage) bridgeKill(i Injection) error {
	s.bridge.process.kill()
	s.account.restarted()
	s.pause(i.Hold)
	return s.startBridge()
}

func (s *stage) bridgeTerm(i Injection) error {
	err := s.bridge.process.terminate()
	s.account.restarted()
	if err != nil {
		return err
	}
	s.pause(i.Hold)
	return s.startBridge()
}

func (s *stage) answerCut(i Injection) error {
	s.bridge.front.setCut(&cutter{random: rand.New(rand.NewPCG(i.Draw, 0)), most: cutAnswerWithin, back: true})
	defer s.bridge.front.setCut(nil)
	s.pause(i.Hold)
	return nil
}

// streamDelete counts what is in the stream, deletes it and has the bridge make it again. What the operator deletes is gone, so the
// account exempts what was acknowledged between the count and the deletion.
func (s *stage) streamDelete(Injection) error {
	if err := s.read(); err != nil {
		return err
	}
	from := s.account.now()
	if err := s.read(); err != nil { // the rest, which takes less time
		return err
	}
	err := s.jetstream(func(js jetstream.JetStream) error {
		err := js.DeleteStream(s.ctx, eventsStream)
		if errors.Is(err, jetstream.ErrStreamNotFound) {
			return nil // an answer to an earlier attempt was lost
		}
		return err
	})
	s.account.deleted(from)
	s.position = 0
	return err
}

func (s *stage) diskFull(i Injection) error {
	if s.setup == Embedded {
		return s.filesFull(i)
	}
	return s.storageFull(i)
}

// filesFull has every write of the bridge to a file fail, as on a disk that is full.
func (s *stage) filesFull(i Injection) error {
	const nearlyNothing = 4 << 10
	free, err := s.bridge.process.limitFiles(nearlyNothing)
	if err != nil {
		return err
	}
	s.pause(i.Hold)
	return free()
}

// storageFull fills JetStream with messages of another stream up to the limit of the server.
func (s *stage) storageFull(i Injection) error {
	const ballast, size = "BALLAST", 512 << 10
	remove := func() error {
		return s.jetstream(func(js jetstream.JetStream) error {
			err := js.DeleteStream(s.ctx, ballast)
			if errors.Is(err, jetstream.ErrStreamNotFound) {
				return nil
			}
			return err
		})
	}
	err := s.jetstream(func(js jetstream.JetStream) error {
		_, err := js.CreateStream(s.ctx, jetstream.StreamConfig{Name: ballast, Subjects: []string{"rehearsal.ballast"}})
		if err != nil {
			return err
		}
		for {
			_, err := js.Publish(s.ctx, "rehearsal.ballast", make([]byte, size))
			var refusal *jetstream.APIError
			if errors.As(err, &refusal) {
				return nil // full
			}
			if err != nil {
				return err
			}
		}
	})
	if err == nil {
		s.pause(i.Hold)
	}
	return errors.Join(err, remove())
}

// pick returns one of the nodes by chance.
func (s *stage) pick(i Injection) *node { return s.nodes[i.Draw%uint64(len(s.nodes))] }

func (s *stage) natsKill(i Injection) error { return s.killNode(s.pick(i), i.Hold) }

func (s *stage) killNode(n *node, hold time.Duration) error {
	n.process.kill()
	s.pause(hold)
	return s.startNode(n)
}

func (s *stage) natsStop(i Injection) error {
	n := s.pick(i)
	if err := n.process.freeze(); err != nil {
		return err
	}
	s.pause(i.Hold)
	return n.process.thaw()
}

func (s *stage) natsCut(i Injection) error {
	for k, n := range s.nodes {
		n.clients.setCut(&cutter{random: rand.New(rand.NewPCG(i.Draw, uint64(k))), most: cutNATSWithin})
		defer n.clients.setCut(nil)
	}
	s.pause(i.Hold)
	return nil
}

// leaderLoss kills the leader of the events stream.
func (s *stage) leaderLoss(i Injection) error {
	var leader *node
	err := s.jetstream(func(js jetstream.JetStream) error {
		stream, err := js.Stream(s.ctx, eventsStream)
		if err != nil {
			return err
		}
		for _, n := range s.nodes {
			if cluster := stream.CachedInfo().Cluster; cluster != nil && cluster.Leader == n.name {
				leader = n
				return nil
			}
		}
		return fmt.Errorf("%s has no leader", eventsStream)
	})
	if err != nil {
		return err
	}
	return s.killNode(leader, i.Hold)
}

// partition cuts one node off from the others. By chance packets are dropped or connections are reset, and clients reach the
// node or do not.
func (s *stage) partition(i Injection) error {
	alone := s.pick(i)
	how, cutClients := stalls, i.Draw>>32&1 == 1
	if i.Draw>>33&1 == 1 {
		how = refuses
	}
	cut := s.routesOf(alone)
	if cutClients {
		cut = append(cut, alone.clients)
	}
	for _, p := range cut {
		p.set(how)
		defer p.set(passes)
	}
	s.pause(i.Hold)
	return nil
}

// routesOf returns the proxies between a node and the others.
func (s *stage) routesOf(alone *node) []*proxy {
	var all []*proxy
	for _, n := range s.nodes {
		for from, p := range n.routes {
			if n == alone || from == alone {
				all = append(all, p)
			}
		}
	}
	return all
}
