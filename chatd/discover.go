package chatd

import (
	"context"
	"fmt"
	"net/http"

	"github.com/coreos/go-oidc/v3/oidc"
)

// Discover finds where an OpenID Connect issuer publishes its keys (OpenID
// Connect Discovery 1.0 §4), for [token.Remote].Locate. It refuses an answer
// that names another issuer.
func Discover(issuer string) func(context.Context, *http.Client) (string, error) {
	return func(ctx context.Context, client *http.Client) (string, error) {
		p, err := oidc.NewProvider(oidc.ClientContext(ctx, client), issuer)
		if err != nil {
			return "", fmt.Errorf("asking the issuer for its keys: %w", err)
		}
		var found struct {
			Keys string `json:"jwks_uri"`
		}
		if err := p.Claims(&found); err != nil {
			return "", fmt.Errorf("asking the issuer for its keys: %w", err)
		}
		return found.Keys, nil
	}
}
