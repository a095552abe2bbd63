package bridge_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"mewsbridge/bridge"
)

// wire sends bytes as they are and returns the answers that come until the connection ends.
func (r *rig) wire(t *testing.T, halfClose bool, parts ...string) []int {
	t.Helper()
	conn, err := net.Dial("tcp", r.http.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	for _, part := range parts {
		if _, err := io.WriteString(conn, part); err != nil {
			break // refused before everything was sent
		}
	}
	if halfClose {
		_ = conn.(*net.TCPConn).CloseWrite() // fails when the server has hung up
	}
	var statuses []int
	reader := bufio.NewReader(conn)
	for {
		response, err := http.ReadResponse(reader, nil)
		if err != nil {
			return statuses
		}
		_, _ = io.Copy(io.Discard, response.Body)
		_ = response.Body.Close()
		statuses = append(statuses, response.StatusCode)
		if response.Close {
			return statuses
		}
		if response.StatusCode >= 200 && !halfClose {
			return statuses
		}
	}
}

// TestOnTheWire sends what no HTTP client sends. Nothing that is not a whole webhook is stored or answered 2xx.
func TestOnTheWire(t *testing.T) {
	head := "POST " + path + "?Token=" + token + " HTTP/1.1\r\nHost: x\r\n"
	hook := general(event("New", "n1"))
	second := general(event("New", "n2"))
	sized := func(body string) string { return fmt.Sprintf("%sContent-Length: %d\r\n\r\n%s", head, len(body), body) }
	chunk := fmt.Sprintf("%x\r\n%s\r\n", len(hook), hook)

	for _, test := range []struct {
		name      string
		halfClose bool
		parts     []string
		statuses  []int
		stored    []string
	}{
		{"body cut off", true, []string{fmt.Sprintf("%sContent-Length: %d\r\n\r\n%s", head, len(hook)+1, hook)}, []int{400}, nil},
		{"body that stops arriving", false, []string{fmt.Sprintf("%sContent-Length: %d\r\n\r\n%s", head, len(hook)+1, hook)}, []int{400}, nil},
		{"chunks cut off", true, []string{head + "Transfer-Encoding: chunked\r\n\r\n" + chunk}, []int{400}, nil},
		{"bad chunk", false, []string{head + "Transfer-Encoding: chunked\r\n\r\n" + chunk + "zz\r\n"}, []int{400}, nil},
		{"whole chunks", false, []string{head + "Transfer-Encoding: chunked\r\n\r\n" + chunk + "0\r\n\r\n"}, []int{202}, []string{"mews.events.New.hotel.n1"}},
		{"two lengths", false, []string{head + "Content-Length: 5\r\nContent-Length: 6\r\n\r\n" + hook}, []int{400}, nil},
		{"negative length", false, []string{head + "Content-Length: -1\r\n\r\n" + hook}, []int{400}, nil},
		{"unknown transfer encoding", false, []string{head + "Transfer-Encoding: gzip, chunked\r\n\r\n" + chunk}, []int{501}, nil},
		{"no host", false, []string{"POST " + path + "?Token=" + token + " HTTP/1.1\r\nContent-Length: 0\r\n\r\n"}, []int{400}, nil},
		{"not HTTP", false, []string{hook + "\r\n\r\n"}, []int{400}, nil},
		{"HTTP/1.0", false, []string{strings.Replace(sized(hook), "HTTP/1.1", "HTTP/1.0", 1)}, []int{202}, []string{"mews.events.New.hotel.n1"}},
		{"100-continue", false, []string{head + "Expect: 100-continue\r\n" + fmt.Sprintf("Content-Length: %d\r\n\r\n", len(hook)), hook}, []int{100, 202}, []string{"mews.events.New.hotel.n1"}},
		{"wrong token, no body yet", false, []string{strings.Replace(head, token, token+"x", 1) + "Content-Length: 1000\r\n\r\n"}, []int{401}, nil},
		{"wrong token, endless chunks", false, []string{strings.Replace(head, token, token+"x", 1) + "Transfer-Encoding: chunked\r\n\r\n5\r\n"}, []int{401}, nil},
		{"headers that never end", false, []string{head + "X-Slow: "}, nil, nil},
		{"headers beyond the limit", false, []string{head + "X-Long: " + strings.Repeat("a", 64<<10) + "\r\n\r\n"}, []int{431}, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := newRig(t, func(c *bridge.Config) { c.AckDeadline = 300 * time.Millisecond })
			got := r.wire(t, test.halfClose, test.parts...)
			if diff := cmp.Diff(test.statuses, got, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("statuses (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(test.stored, r.subjects(t), cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("stored (-want +got):\n%s", diff)
			}
		})
	}

	t.Run("pipelined requests", func(t *testing.T) {
		r := newRig(t, nil)
		last := strings.Replace(sized(second), "Host: x", "Host: x\r\nConnection: close", 1)
		conn, err := net.Dial("tcp", r.http.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if _, err := io.WriteString(conn, sized(hook)+last); err != nil {
			t.Fatal(err)
		}
		reader := bufio.NewReader(conn)
		for range 2 {
			response, err := http.ReadResponse(reader, nil)
			if err != nil {
				t.Fatal(err)
			}
			_, _ = io.Copy(io.Discard, response.Body)
			_ = response.Body.Close()
			if response.StatusCode != 202 {
				t.Errorf("status %d", response.StatusCode)
			}
		}
		if diff := cmp.Diff([]string{"mews.events.New.hotel.n1", "mews.events.New.hotel.n2"}, r.subjects(t)); diff != "" {
			t.Errorf("stored (-want +got):\n%s", diff)
		}
	})
}
