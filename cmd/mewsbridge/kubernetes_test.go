package main

import (
	"context"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/nats-io/nats.go/jetstream"
	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/yaml"

	"mewsbridge/publisher/natstest"
)

// stream is what the tests know of NACK's Stream (jetstream.nats.io/v1beta2): the fields that ours use.
type stream struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata"`
	Spec              struct {
		Name               string          `json:"name"`
		Description        string          `json:"description"`
		Subjects           []string        `json:"subjects"`
		Retention          string          `json:"retention"` // limits, interest or workqueue
		Storage            string          `json:"storage"`   // file or memory
		Replicas           int             `json:"replicas"`
		MaxAge             metav1.Duration `json:"maxAge"`
		DuplicateWindow    metav1.Duration `json:"duplicateWindow"`
		AllowDirect        bool            `json:"allowDirect"`
		AllowAtomicPublish bool            `json:"allowAtomicPublish"`
		PreventDelete      bool            `json:"preventDelete"`
	} `json:"spec"`
}

// kustomization is what the tests know of kustomize's files: the fields that ours use.
type kustomization struct {
	metav1.TypeMeta `json:",inline"`
	Resources       []string `json:"resources"`
	Components      []string `json:"components"`
	Images          []struct {
		Name   string `json:"name"`
		NewTag string `json:"newTag"`
	} `json:"images"`
	Patches []struct {
		Target struct {
			Kind string `json:"kind"`
			Name string `json:"name"`
		} `json:"target"`
		Patch string `json:"patch"`
	} `json:"patches"`
}

// cluster is everything that deploy/kubernetes makes.
type cluster struct {
	deployment appsv1.Deployment
	service    corev1.Service
	budget     policyv1.PodDisruptionBudget
	network    networkingv1.NetworkPolicy
	monitor    monitoringv1.ServiceMonitor
	streams    []stream
}

// readCluster reads deploy/kubernetes file by file. When RENDERED names the output of kustomize, it reads that instead.
func readCluster(t *testing.T) *cluster {
	t.Helper()
	c := &cluster{}
	if name := os.Getenv("RENDERED"); name != "" {
		c.readFile(t, name)
		return c
	}
	c.readFolder(t, "../../deploy/kubernetes")
	return c
}

// readFolder follows a kustomization, and fails when it leaves a file out.
func (c *cluster) readFolder(t *testing.T, dir string) {
	t.Helper()
	var k kustomization
	strict(t, mustRead(t, filepath.Join(dir, "kustomization.yaml")), &k)
	for _, resource := range slices.Concat(k.Resources, k.Components) {
		if strings.HasSuffix(resource, ".yaml") {
			c.readFile(t, filepath.Join(dir, resource))
		} else {
			c.readFolder(t, filepath.Join(dir, resource))
		}
	}
	for _, patch := range k.Patches {
		if patch.Target.Kind != "Deployment" || patch.Target.Name != c.deployment.Name {
			t.Fatalf("%s: the patch is for %s %q", dir, patch.Target.Kind, patch.Target.Name)
		}
		var operations []struct {
			Op    string        `json:"op"`
			Path  string        `json:"path"`
			Value corev1.EnvVar `json:"value"`
		}
		strict(t, []byte(patch.Patch), &operations)
		for _, o := range operations {
			if o.Op != "add" || o.Path != "/spec/template/spec/containers/0/env/-" {
				t.Fatalf("%s: the tests do not know the patch %s %s", dir, o.Op, o.Path)
			}
			containers := c.deployment.Spec.Template.Spec.Containers
			containers[0].Env = append(containers[0].Env, o.Value)
		}
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		if name := entry.Name(); name != "kustomization.yaml" && !slices.Contains(slices.Concat(k.Resources, k.Components), name) {
			t.Errorf("%s: kustomization.yaml leaves out %s", dir, name)
		}
	}
}

// readFile decodes each resource into its type, strictly: a field that the type does not have is an error.
func (c *cluster) readFile(t *testing.T, name string) {
	t.Helper()
	for document := range strings.SplitSeq(string(mustRead(t, name)), "\n---\n") {
		var meta metav1.TypeMeta
		if err := yaml.Unmarshal([]byte(document), &meta); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		into := map[string]any{
			"apps/v1 Deployment": &c.deployment, "v1 Service": &c.service, "policy/v1 PodDisruptionBudget": &c.budget,
			"networking.k8s.io/v1 NetworkPolicy": &c.network, "monitoring.coreos.com/v1 ServiceMonitor": &c.monitor,
		}[meta.APIVersion+" "+meta.Kind]
		if meta.APIVersion+" "+meta.Kind == "jetstream.nats.io/v1beta2 Stream" {
			c.streams = append(c.streams, stream{})
			into = &c.streams[len(c.streams)-1]
		}
		if into == nil {
			t.Fatalf("%s: the tests do not know %s %s", name, meta.APIVersion, meta.Kind)
		}
		strict(t, []byte(document), into)
	}
}

func strict(t *testing.T, document []byte, into any) {
	t.Helper()
	if err := yaml.UnmarshalStrict(document, into); err != nil {
		t.Fatalf("%v in:\n%s", err, document)
	}
}

func mustRead(t *testing.T, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func (c *cluster) container(t *testing.T) corev1.Container {
	t.Helper()
	containers := c.deployment.Spec.Template.Spec.Containers
	if len(containers) != 1 {
		t.Fatalf("the pod has %d containers", len(containers))
	}
	return containers[0]
}

// env returns the environment of the bridge. What the cluster takes from a secret is testToken; what else it fills in is left out.
func (c *cluster) env(t *testing.T) map[string]string {
	t.Helper()
	env := map[string]string{}
	for _, v := range c.container(t).Env {
		switch {
		case v.ValueFrom == nil:
			env[v.Name] = v.Value
		case v.ValueFrom.SecretKeyRef != nil:
			env[v.Name] = testToken
		}
	}
	return env
}

func selects(t *testing.T, what string, selector *metav1.LabelSelector, of map[string]string) {
	t.Helper()
	s, err := metav1.LabelSelectorAsSelector(selector)
	if err != nil {
		t.Fatal(err)
	}
	if s.Empty() || !s.Matches(labels.Set(of)) {
		t.Errorf("%s selects %s, which is not %v", what, s, of)
	}
}

func TestKubernetesSelectors(t *testing.T) {
	c := readCluster(t)
	pod := c.deployment.Spec.Template
	selects(t, "the deployment", c.deployment.Spec.Selector, pod.Labels)
	selects(t, "the service", &metav1.LabelSelector{MatchLabels: c.service.Spec.Selector}, pod.Labels)
	selects(t, "the disruption budget", c.budget.Spec.Selector, pod.Labels)
	selects(t, "the network policy", &c.network.Spec.PodSelector, pod.Labels)
	selects(t, "the service monitor", &c.monitor.Spec.Selector, c.service.Labels)
	if len(pod.Spec.TopologySpreadConstraints) == 0 {
		t.Error("the pods are not spread")
	}
	for _, constraint := range pod.Spec.TopologySpreadConstraints {
		selects(t, "the spread over "+constraint.TopologyKey, constraint.LabelSelector, pod.Labels)
	}
}

func TestKubernetesPorts(t *testing.T) {
	c := readCluster(t)
	container := c.container(t)
	env := c.env(t)
	for _, name := range []string{"MEWSBRIDGE_TOKENS_FILE", "NATS_CREDS"} { // files of the pod
		env[name] = filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(env[name], []byte(testToken), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cfg := mustResolve(t, given(t, nil, env, ""))
	ports := map[string]int32{}
	for _, p := range container.Ports {
		ports[p.Name] = p.ContainerPort
	}
	if want := map[string]int32{"webhooks": portOf(t, cfg.Listen), "admin": portOf(t, cfg.AdminListen)}; !cmp.Equal(want, ports) {
		t.Errorf("the container's ports are %v and should be %v", ports, want)
	}
	offered := map[string]bool{}
	for _, p := range c.service.Spec.Ports {
		offered[p.Name] = true
		if ports[p.TargetPort.StrVal] == 0 {
			t.Errorf("the service's port %s goes to %v", p.Name, &p.TargetPort)
		}
	}
	for _, endpoint := range c.monitor.Spec.Endpoints {
		if endpoint.Port != "admin" || !offered[endpoint.Port] {
			t.Errorf("the service monitor asks port %q", endpoint.Port)
		}
		want := secretOf(container, "MEWSBRIDGE_ADMIN_TOKEN")
		if endpoint.Authorization == nil || want == nil || !cmp.Equal(endpoint.Authorization.Credentials, want) {
			t.Errorf("the service monitor sends %+v, and the bridge asks for %+v", endpoint.Authorization, want)
		}
	}
	for _, rule := range c.network.Spec.Ingress {
		for _, p := range rule.Ports {
			if ports[p.Port.StrVal] == 0 {
				t.Errorf("the network policy lets in port %v", p.Port)
			}
			if p.Port.StrVal == "admin" && len(rule.From) == 0 {
				t.Error("the network policy lets anybody at the admin port")
			}
		}
	}
	for name, probe := range map[string]*corev1.Probe{"startup": container.StartupProbe, "readiness": container.ReadinessProbe, "liveness": container.LivenessProbe} {
		if probe == nil || probe.HTTPGet == nil || probe.HTTPGet.Port.StrVal != "admin" {
			t.Errorf("the %s probe does not ask the admin port", name)
		}
	}
}

// secretOf returns the secret that an environment variable is taken from.
func secretOf(container corev1.Container, name string) *corev1.SecretKeySelector {
	for _, v := range container.Env {
		if v.Name == name && v.ValueFrom != nil {
			return v.ValueFrom.SecretKeyRef
		}
	}
	return nil
}

func portOf(t *testing.T, listen string) int32 {
	t.Helper()
	port, err := strconv.ParseInt(listen[strings.LastIndexByte(listen, ':')+1:], 10, 32)
	if err != nil {
		t.Fatal(err)
	}
	return int32(port)
}

// TestKubernetesLife: a rollout with wrong settings stops at its first pod; NATS that is down takes no pod out of service; a pod
// that stops has the time it needs.
func TestKubernetesLife(t *testing.T) {
	c := readCluster(t)
	container, pod, rollout := c.container(t), c.deployment.Spec.Template.Spec, c.deployment.Spec.Strategy.RollingUpdate
	if *c.deployment.Spec.Replicas < 2 || rollout.MaxUnavailable.IntVal != 0 || rollout.MaxSurge.IntVal < 1 {
		t.Errorf("%d replicas, rolled out with %v unavailable and %v more", *c.deployment.Spec.Replicas, rollout.MaxUnavailable, rollout.MaxSurge)
	}
	for name, test := range map[string]struct {
		probe *corev1.Probe
		path  string
	}{"startup": {container.StartupProbe, "/readyz"}, "readiness": {container.ReadinessProbe, "/livez"}, "liveness": {container.LivenessProbe, "/livez"}} {
		if test.probe.HTTPGet.Path != test.path {
			t.Errorf("the %s probe asks %s, want %s", name, test.probe.HTTPGet.Path, test.path)
		}
	}
	patience := time.Duration(*pod.TerminationGracePeriodSeconds) * time.Second
	before := time.Duration(container.Lifecycle.PreStop.Sleep.Seconds) * time.Second
	if patience < before+stopTimeout+2*time.Second {
		t.Errorf("a pod has %v to stop, and needs %v and %v", patience, before, stopTimeout)
	}
	if c.budget.Spec.MaxUnavailable.IntVal != 1 {
		t.Errorf("a drained node may take %v pods", c.budget.Spec.MaxUnavailable)
	}
}

func TestKubernetesConfinement(t *testing.T) {
	c := readCluster(t)
	container, pod := c.container(t), c.deployment.Spec.Template.Spec
	if !*pod.SecurityContext.RunAsNonRoot || *pod.AutomountServiceAccountToken || pod.SecurityContext.SeccompProfile.Type != corev1.SeccompProfileTypeRuntimeDefault {
		t.Errorf("the pod is not confined: %+v", pod.SecurityContext)
	}
	user := fmt.Sprintf("\nUSER %d:%d\n", *pod.SecurityContext.RunAsUser, *pod.SecurityContext.RunAsGroup)
	if !strings.Contains(string(mustRead(t, "../../deploy/Dockerfile")), user) {
		t.Errorf("the image has another user than %s", user)
	}
	s := container.SecurityContext
	if *s.AllowPrivilegeEscalation || !*s.ReadOnlyRootFilesystem || !slices.Equal(s.Capabilities.Drop, []corev1.Capability{"ALL"}) {
		t.Errorf("the container is not confined: %+v", s)
	}
	if container.Resources.Limits.Memory().IsZero() || container.Resources.Requests.Cpu().IsZero() {
		t.Errorf("the container is not bounded: %+v", container.Resources)
	}
	for _, v := range container.Env {
		if v.Value != "" && (strings.HasSuffix(v.Name, "PASSWORD") || strings.HasSuffix(v.Name, "TOKEN") || strings.HasSuffix(v.Name, "TOKENS")) {
			t.Errorf("%s holds a secret", v.Name)
		}
	}
	// Each file that the environment names lies in a secret that is mounted.
	secrets := map[string]bool{}
	for _, v := range pod.Volumes {
		secrets[v.Name] = v.Secret != nil
	}
	mounted := map[string]bool{}
	for _, m := range container.VolumeMounts {
		mounted[m.MountPath] = secrets[m.Name] && m.ReadOnly
	}
	for _, name := range []string{"MEWSBRIDGE_TOKENS_FILE", "NATS_CREDS"} {
		if file := c.env(t)[name]; !mounted[path.Dir(file)] {
			t.Errorf("%s is %q, which is in no mounted secret", name, file)
		}
	}
}

// TestKubernetesStreams makes the streams as NACK would: they are what the bridge makes by itself, and one that only checks them is ready.
func TestKubernetesStreams(t *testing.T) {
	c := readCluster(t)
	servers := natstest.Cluster(t, 3)
	js := natstest.JetStream(t, servers...)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	env := []string{"MEWSBRIDGE_TOKENS=" + testToken}
	for name, value := range c.env(t) {
		switch name {
		case "NATS_URL":
			value = strings.Join(natstest.URLs(servers...), ",")
		case "NATS_CREDS", "MEWSBRIDGE_TOKENS_FILE", "MEWSBRIDGE_ADMIN_LISTEN":
			continue // files and ports of the pod
		}
		env = append(env, name+"="+value)
	}
	ready := func(p *process) func() bool {
		return func() bool { status, _ := get(t, p.admin+"/readyz"); return status == 200 }
	}

	managing := startServe(t, t.TempDir(), append(env, "MEWSBRIDGE_STREAMS_MANAGE=true")...)
	natstest.Eventually(t, "a bridge that makes the streams", ready(managing))
	managing.signal(t, os.Interrupt)
	if err := managing.wait(t); err != nil {
		t.Fatal(err)
	}
	if names := streamNames(ctx, t, js); len(names) != len(c.streams) {
		t.Fatalf("the bridge makes %v, and there are %d resources", names, len(c.streams))
	}
	for _, s := range c.streams {
		made, err := js.Stream(ctx, s.Spec.Name)
		if err != nil {
			t.Fatal(err)
		}
		if err := js.DeleteStream(ctx, s.Spec.Name); err != nil {
			t.Fatal(err)
		}
		declared, err := js.CreateStream(ctx, streamConfig(t, s))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(made.CachedInfo().Config, declared.CachedInfo().Config, cmpopts.IgnoreFields(jetstream.StreamConfig{}, "Metadata")); diff != "" {
			t.Errorf("%s is not as the bridge makes it (-bridge +resource):\n%s", s.Spec.Name, diff)
		}
		if !s.Spec.PreventDelete {
			t.Errorf("%s: its messages go with the resource", s.Spec.Name)
		}
	}

	if c.env(t)["MEWSBRIDGE_STREAMS_MANAGE"] != "false" {
		t.Error("the bridge and NACK would both look after the streams")
	}
	natstest.Eventually(t, "a bridge that only checks the streams", ready(startServe(t, t.TempDir(), env...)))
}

func streamNames(ctx context.Context, t *testing.T, js jetstream.JetStream) []string {
	t.Helper()
	var names []string
	lister := js.StreamNames(ctx)
	for name := range lister.Name() {
		names = append(names, name)
	}
	if err := lister.Err(); err != nil {
		t.Fatal(err)
	}
	return names
}

// streamConfig is what NACK asks NATS for.
func streamConfig(t *testing.T, s stream) jetstream.StreamConfig {
	t.Helper()
	if s.Spec.Retention != "limits" || s.Spec.Storage != "file" {
		t.Fatalf("%s: retention %s, storage %s", s.Spec.Name, s.Spec.Retention, s.Spec.Storage)
	}
	return jetstream.StreamConfig{
		Name: s.Spec.Name, Description: s.Spec.Description, Subjects: s.Spec.Subjects, Retention: jetstream.LimitsPolicy, Storage: jetstream.FileStorage,
		Replicas: s.Spec.Replicas, MaxAge: s.Spec.MaxAge.Duration, Duplicates: s.Spec.DuplicateWindow.Duration,
		AllowDirect: s.Spec.AllowDirect, AllowAtomicPublish: s.Spec.AllowAtomicPublish,
	}
}
