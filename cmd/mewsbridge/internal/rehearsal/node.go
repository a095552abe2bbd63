package rehearsal

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
)

// startTimeout bounds how long a process may take until it listens.
const startTimeout = 30 * time.Second

// node is one nats-server. It listens on ports of its own at each start; clients and the other nodes reach it through
// proxies.
type node struct {
	name    string
	dir     string
	clients *proxy
	routes  map[*node]*proxy // by which another node reaches this one

	process *process
	url     string // without the proxy; for the rehearsal's own use
}

// newNodes returns n nodes, one server or a cluster, that do not run yet. With an error it returns what there is to give back.
func newNodes(n int, dir string) ([]*node, error) {
	nodes := make([]*node, n)
	var err error
	for i := range nodes {
		name := fmt.Sprintf("nats-%d", i+1)
		nodes[i] = &node{name: name, dir: filepath.Join(dir, name), routes: map[*node]*proxy{}}
		if err := os.MkdirAll(nodes[i].dir, 0o700); err != nil {
			return nodes, fmt.Errorf("make folder: %w", err)
		}
		if nodes[i].clients, err = newProxy(); err != nil {
			return nodes, err
		}
	}
	for _, to := range nodes {
		for _, from := range nodes {
			if from == to {
				continue
			}
			if to.routes[from], err = newProxy(); err != nil {
				return nodes, err
			}
		}
	}
	return nodes, nil
}

// nodeOptions are what the nodes of a stage have in common.
type nodeOptions struct {
	syncAlways bool
	maxStore   int64
}

// configure writes the node's configuration file.
func (n *node) configure(all []*node, o nodeOptions) error {
	var b strings.Builder
	fmt.Fprintf(&b, "server_name: %s\nlisten: \"127.0.0.1:-1\"\nclient_advertise: %q\nports_file_dir: %q\n", n.name, n.clients.addr(), n.dir)
	fmt.Fprintf(&b, "jetstream {\n  store_dir: %q\n  max_file_store: %d\n", filepath.Join(n.dir, "data"), o.maxStore)
	if o.syncAlways {
		b.WriteString("  sync_interval: always\n")
	}
	b.WriteString("}\n")
	if len(all) > 1 {
		// What the servers tell each other of their addresses would lead around the proxies: port 1 leads nowhere.
		b.WriteString("cluster {\n  name: rehearsal\n  listen: \"127.0.0.1:-1\"\n  advertise: \"127.0.0.1:1\"\n  routes: [\n")
		for _, other := range all {
			if other != n {
				fmt.Fprintf(&b, "    \"nats://%s\"\n", other.routes[n].addr())
			}
		}
		b.WriteString("  ]\n}\n")
	}
	if err := os.WriteFile(n.configFile(), []byte(b.String()), 0o600); err != nil {
		return fmt.Errorf("write configuration of %s: %w", n.name, err)
	}
	return nil
}

func (n *node) configFile() string { return filepath.Join(n.dir, "nats.conf") }

// start runs the server and returns when it listens.
func (n *node) start(ctx context.Context, binary string, onEnd func(error)) error {
	var err error
	n.process, err = startProcess(n.name, binary, n.dir, filepath.Join(n.dir, logName), nil, []string{"nats-server", "--config", n.configFile()}, onEnd)
	if err != nil {
		return err
	}
	var ports struct{ NATS, Cluster []string }
	err = waitFor(ctx, n.name+" to listen", startTimeout, func() bool {
		found, _ := filepath.Glob(filepath.Join(n.dir, fmt.Sprintf("*_%d.ports", n.process.pid())))
		if len(found) != 1 {
			return false
		}
		text, err := os.ReadFile(found[0])
		return err == nil && json.Unmarshal(text, &ports) == nil && len(ports.NATS) > 0 && (len(n.routes) == 0 || len(ports.Cluster) > 0)
	})
	if err != nil {
		return err
	}
	n.url = ports.NATS[0]
	n.clients.lead(hostPort(n.url))
	for _, p := range n.routes {
		p.lead(hostPort(ports.Cluster[0]))
	}
	return nil
}

func hostPort(text string) string {
	u, err := url.Parse(text)
	if err != nil {
		return ""
	}
	return u.Host
}

// connect returns a connection to that server alone.
func connect(url string) (*nats.Conn, error) {
	const timeout = 2 * time.Second
	return nats.Connect(url, nats.Timeout(timeout), nats.NoReconnect(), nats.IgnoreDiscoveredServers(),
		nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))
}

// proxies returns all that lead to the node.
func (n *node) proxies() []*proxy {
	all := []*proxy{n.clients}
	for _, p := range n.routes {
		all = append(all, p)
	}
	return all
}

// waitFor returns nil once the condition holds.
func waitFor(ctx context.Context, what string, limit time.Duration, condition func() bool) error {
	const pause = 20 * time.Millisecond
	timer := time.NewTimer(limit)
	defer timer.Stop()
	tick := time.NewTicker(pause)
	defer tick.Stop()
	for !condition() {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-timer.C:
			return fmt.Errorf("waited %v in vain for %s", limit, what)
		case <-tick.C:
		}
	}
	return nil
}
