package cli

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/urfave/cli/v2"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/util/duration"
	"k8s.io/client-go/kubernetes"

	"skiff/server/join"
	"skiff/server/pki"
)

func tokenCommand() *cli.Command {
	create := append(adminFlags(),
		&cli.DurationFlag{Name: "ttl", Value: time.Hour, DefaultText: "1h", Usage: "how long it can be used, like 30m or 24h; 0 for as long as it is there"},
		&cli.StringFlag{Name: "role", Value: join.RoleAgent, Usage: "what boxes that show it become: agent"},
		&cli.StringFlag{Name: "description", Usage: "what it is for, for the list"},
		&cli.BoolFlag{Name: "print-join-command", Usage: "print the command to run on the box that is to join, in place of the token"},
	)
	return &cli.Command{
		Name:      "token",
		Usage:     "make, list and delete the tokens that boxes join with",
		UsageText: "skiff token create [--ttl 1h]\nskiff token list\nskiff token delete ID...",
		Subcommands: []*cli.Command{
			{Name: "create", Usage: "make a token and print it", UsageText: "skiff token create [flags]", Flags: create, Action: createToken},
			{Name: "list", Usage: "list the tokens, without their secrets", UsageText: "skiff token list", Flags: adminFlags(), Action: listTokens},
			{Name: "delete", Usage: "delete tokens: nobody joins with them any more", UsageText: "skiff token delete ID...", Flags: adminFlags(), Action: deleteTokens},
		},
		Action: func(c *cli.Context) error {
			if c.Args().Present() {
				return usagef("there is no command %q%s; `skiff token --help` lists them", "token "+c.Args().First(), didYouMean(c.Args().First(), []string{"create", "list", "delete"}))
			}
			return cli.ShowSubcommandHelp(c)
		},
	}
}

// newToken reads the flags of `skiff token create`.
func newToken(c *cli.Context) (join.Token, error) {
	if err := noArguments(c); err != nil {
		return join.Token{}, err
	}
	if role := c.String("role"); role != join.RoleAgent {
		return join.Token{}, usagef("role: there is no role %q, only %s", role, join.RoleAgent)
	}
	t := join.Token{Description: c.String("description")}.ForRole(join.RoleAgent)
	switch ttl := c.Duration("ttl"); {
	case ttl < 0, ttl > 0 && ttl < time.Second:
		return join.Token{}, usagef("ttl: %s is too short, use 1s or more, or 0 for a token without end", ttl)
	case ttl > 0:
		t.Expires = time.Now().Add(ttl)
	}
	return t, nil
}

func createToken(c *cli.Context) error {
	t, err := newToken(c)
	if err != nil {
		return err
	}
	client, err := adminClient(c)
	if err != nil {
		return err
	}
	bundle, err := client.Discovery().RESTClient().Get().AbsPath(join.AuthoritiesPath).DoRaw(c.Context)
	if err != nil {
		return apiError("token create", err)
	}
	hash, err := pki.HashOf(bundle)
	if err != nil {
		return fmt.Errorf("token create: the server's authority cannot be read: %w", err)
	}
	whole, err := pki.RandomToken(hash)
	if err != nil {
		return fmt.Errorf("token create: %w", err)
	}
	t.ID, t.Secret = whole.ID, whole.Secret
	command := ""
	if c.Bool("print-join-command") || isTerminal(c.App.Writer) {
		// Before the token is made: without it there is nothing to print.
		if command, err = joinCommand(c, client, whole); err != nil {
			return apiError("token create", err)
		}
	}
	if _, err := client.CoreV1().Secrets(join.Namespace).Create(c.Context, t.ToSecret(), metav1.CreateOptions{}); err != nil {
		return apiError("token create", err)
	}
	printToken(c, whole, command)
	return nil
}

// printToken prints what a script can take, or all that a person needs.
func printToken(c *cli.Context, t pki.Token, command string) {
	switch {
	case c.Bool("print-join-command"):
		fmt.Fprintln(c.App.Writer, command)
	case command != "":
		fmt.Fprintf(c.App.Writer, "%s\n\nOn the box that is to join:\n\n  %s\n", t, command)
	default:
		fmt.Fprintln(c.App.Writer, t)
	}
}

func listTokens(c *cli.Context) error {
	if err := noArguments(c); err != nil {
		return err
	}
	client, err := adminClient(c)
	if err != nil {
		return err
	}
	list, err := client.CoreV1().Secrets(join.Namespace).List(c.Context, metav1.ListOptions{
		FieldSelector: fields.OneTermEqualSelector("type", string(join.SecretType)).String(),
	})
	if err != nil {
		return apiError("token list", err)
	}
	var tokens []join.Token
	for i := range list.Items {
		t, err := join.FromSecret(&list.Items[i])
		if err != nil {
			fmt.Fprintf(c.App.ErrWriter, "skiff: token list: %v\n", err)
			continue
		}
		tokens = append(tokens, t)
	}
	return writeTokens(c.App.Writer, tokens, time.Now())
}

// writeTokens writes a table with those that last longest last.
func writeTokens(w io.Writer, tokens []join.Token, now time.Time) error {
	slices.SortFunc(tokens, func(a, b join.Token) int {
		if a.Expires.IsZero() != b.Expires.IsZero() {
			return map[bool]int{true: 1, false: -1}[a.Expires.IsZero()]
		}
		return a.Expires.Compare(b.Expires)
	})
	table := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
	fmt.Fprintln(table, "ID\tROLE\tEXPIRES\tDESCRIPTION")
	for _, t := range tokens {
		role, expires := t.Role(), "never"
		switch {
		case t.Disabled:
			role = "none"
		case role == "":
			role = join.RoleAgent // whoever made it: it lets nodes in
		}
		switch {
		case t.Expired(now):
			expires = "expired"
		case !t.Expires.IsZero():
			expires = "in " + duration.HumanDuration(t.Expires.Sub(now))
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\n", t.ID, role, expires, strings.Join(strings.Fields(t.Description), " "))
	}
	return table.Flush()
}

func deleteTokens(c *cli.Context) error {
	if !c.Args().Present() {
		return usagef("token delete: name at least one id, `skiff token list` lists them")
	}
	var ids []string
	for _, text := range c.Args().Slice() {
		id := tokenID(text)
		if id == "" {
			return usagef("token delete: an id has 6 characters a-z and 0-9, `skiff token list` lists them")
		}
		ids = append(ids, id)
	}
	client, err := adminClient(c)
	if err != nil {
		return err
	}
	var errs []error
	for _, id := range ids {
		if err := deleteToken(c, client, id); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// tokenID is the id that a text is, or has, as a whole token does; "" if none. What
// is no id may be a secret: errors do not show it.
func tokenID(text string) string {
	if t, err := pki.ParseSecret(text); err == nil {
		return t.ID
	}
	if join.IsID(text) {
		return text
	}
	return ""
}

func deleteToken(c *cli.Context, client kubernetes.Interface, id string) error {
	secrets := client.CoreV1().Secrets(join.Namespace)
	s, err := secrets.Get(c.Context, join.SecretName(id), metav1.GetOptions{})
	if err == nil {
		err = secrets.Delete(c.Context, s.Name, metav1.DeleteOptions{Preconditions: metav1.NewUIDPreconditions(string(s.UID))})
	}
	if apierrors.IsNotFound(err) {
		return fmt.Errorf("token delete: there is no token %s, `skiff token list` lists them", id)
	}
	if err != nil {
		return apiError("token delete", err)
	}
	fmt.Fprintf(c.App.Writer, "deleted %s\n", id)
	if t, err := join.FromSecret(s); err == nil && t.Server != "" {
		fmt.Fprintf(c.App.ErrWriter, "skiff: this was the own token of server %s, which makes it again at its next start unless it is given another one (--token)\n", t.Server)
	}
	return nil
}
