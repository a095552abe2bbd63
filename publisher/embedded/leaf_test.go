package embedded_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/zap"

	"mewsbridge/publisher/embedded"
)

// TestLeafErrors: what is wrong with the settings of a leaf node is said at start, and no password with it.
func TestLeafErrors(t *testing.T) {
	noPEM := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(noPEM, []byte("none"), 0o600); err != nil {
		t.Fatal(err)
	}
	const url = "tls://edge:hub-password@127.0.0.1:7422"
	for want, leaf := range map[string]embedded.Leaf{
		"leaf: no domain":      {URLs: []string{url}},
		"leaf url: none given": {Domain: "edge"},
		"leaf url: number 2":   {Domain: "edge", URLs: []string{url, "tls://edge:hub-password@ho st"}},
		"leaf creds":           {Domain: "edge", URLs: []string{url}, CredsFile: noPEM + "x"},
		"leaf ca: open":        {Domain: "edge", URLs: []string{url}, CAFile: noPEM + "x"},
		"leaf ca: no PEM":      {Domain: "edge", URLs: []string{url}, CAFile: noPEM},
	} {
		s, err := embedded.Start(embedded.Config{StoreDir: t.TempDir(), Listen: "127.0.0.1:0", Leaf: &leaf}, zap.NewNop())
		if err == nil {
			_ = s.Shutdown()
			t.Errorf("%s: it starts", want)
			continue
		}
		if !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hub-password") {
			t.Errorf("want %s, got %v", want, err)
		}
	}
}
