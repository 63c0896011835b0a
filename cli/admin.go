package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/urfave/cli/v2"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"skiff/server/clusterinfo"
	"skiff/server/pki"
)

// adminFlags are those of a command that talks to the API server.
func adminFlags() []cli.Flag {
	return []cli.Flag{configFlag(), stringFlag(flagWriteKubeconfig, defaultKubeconfig, "the administrator's credentials, unless KUBECONFIG names others")}
}

// adminClient talks to the API server with the credentials that `skiff kubectl`
// has.
func adminClient(c *cli.Context) (kubernetes.Interface, error) {
	if err := loadConfig(c); err != nil {
		return nil, err
	}
	rules := &clientcmd.ClientConfigLoadingRules{ExplicitPath: c.String(flagWriteKubeconfig)}
	if own := os.Getenv(clientcmd.RecommendedConfigPathEnvVar); own != "" {
		rules = clientcmd.NewDefaultClientConfigLoadingRules()
	}
	cfg, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, nil).ClientConfig()
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("write-kubeconfig: there are no credentials at %s: run this on a server, or set KUBECONFIG", rules.ExplicitPath)
	case errors.Is(err, fs.ErrPermission):
		return nil, fmt.Errorf("write-kubeconfig: %w: run this with sudo, or set KUBECONFIG", err)
	case err != nil:
		return nil, fmt.Errorf("read the credentials: %w", err)
	}
	return kubernetes.NewForConfig(cfg)
}

// apiError says what to do about an error of the API server.
func apiError(what string, err error) error {
	if apierrors.ReasonForError(err) == metav1.StatusReasonUnknown {
		return fmt.Errorf("%s: the server does not answer, is `skiff server` running? %w", what, err)
	}
	return fmt.Errorf("%s: %w", what, err)
}

// joinCommand is what to run on a box that is to join with a token.
func joinCommand(c *cli.Context, client kubernetes.Interface, t pki.Token) (string, error) {
	cm, err := client.CoreV1().ConfigMaps(clusterinfo.Namespace).Get(c.Context, clusterinfo.Name, metav1.GetOptions{})
	if err != nil {
		return "", err
	}
	info, err := clusterinfo.FromConfigMap(cm)
	if err != nil {
		return "", err
	}
	return joinLine("skiff", info.Servers[0], t.String()), nil
}

// joinLine is the command by which a box joins.
func joinLine(program, server, token string) string {
	return fmt.Sprintf("%s agent --server %s --token %s", program, server, token)
}
