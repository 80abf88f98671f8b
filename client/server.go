package client

import (
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"keepsake.example/fleet"
	"keepsake.example/sealed"
)

const (
	// maxCard bounds a server card in bytes: URLs, an id and a few certificates.
	maxCard = 64 << 10
	// maxOthers bounds the chatds of a card besides the first, and so how long a
	// device tries before it says that none is there.
	maxOthers = 7
)

// ErrServer is a server card or URL that cannot be used.
var ErrServer = errors.New("client: not a server card")

// Server is where the vault is reached and which one it is. It comes with the
// application or from the operator, never from the server itself.
//
// Whoever changes the URL or the certificates can keep a device from its vault, and
// no more; whoever changes the fleet id has the device ask his own vault.
type Server struct {
	URL string // of chatd: https://host[:port][/path]
	// Others are more chatds of the same operator, in other data centers: the one
	// that answered last is asked first, then the next. At most maxOthers.
	Others []string
	Fleet  sealed.FleetID // the pinned fleet
	// Issuer is the URL where one logs in, when it is not URL: an operator runs the
	// issuer apart from the relays, since it can make every account.
	Issuer string
	// CA are PEM certificates to trust in place of the system's, for development;
	// "" trusts the system's.
	CA string
}

// cardJSON is a server card (doc/chatd.md, "The server card").
type cardJSON struct {
	URL    string   `json:"url"`
	Others []string `json:"others,omitempty"`
	Issuer string   `json:"issuer,omitempty"`
	Fleet  string   `json:"fleet"` // 64 hexadecimal digits
	CA     string   `json:"ca,omitempty"`
}

// ParseServer reads a server card. The error is [ErrServer].
func ParseServer(card []byte) (*Server, error) {
	var c cardJSON
	if len(card) > maxCard {
		return nil, fmt.Errorf("%w: too long", ErrServer)
	}
	if err := decodeStrictly(card, &c); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrServer, err)
	}
	s, err := NewServer(c.URL, c.Fleet, c.CA)
	if err != nil {
		return nil, err
	}
	if len(c.Others) > maxOthers {
		return nil, fmt.Errorf("%w: more than %d others", ErrServer, maxOthers)
	}
	for _, address := range c.Others {
		if err := checkAddress(address); err != nil {
			return nil, err
		}
		s.Others = append(s.Others, strings.TrimRight(address, "/"))
	}
	if c.Issuer == "" {
		return s, nil
	}
	if err := checkAddress(c.Issuer); err != nil {
		return nil, err
	}
	s.Issuer = strings.TrimRight(c.Issuer, "/")
	return s, nil
}

// NewServer is a server by its URL, the id of its fleet in hexadecimal, and, for
// development, the certificates to trust. The error is [ErrServer].
func NewServer(address, fleetID, ca string) (*Server, error) {
	if err := checkAddress(address); err != nil {
		return nil, err
	}
	id, err := fleet.ParseID(fleetID)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrServer, err)
	}
	if ca != "" && !x509.NewCertPool().AppendCertsFromPEM([]byte(ca)) {
		return nil, fmt.Errorf("%w: no certificate in ca", ErrServer)
	}
	return &Server{URL: strings.TrimRight(address, "/"), Fleet: id, CA: ca}, nil
}

func checkAddress(address string) error {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return fmt.Errorf("%w: the address must be https://HOST", ErrServer)
	}
	return nil
}

// relays are the URLs of all chatds.
func (s *Server) relays() []string { return append([]string{s.URL}, s.Others...) }

// issuer is the URL where one logs in.
func (s *Server) issuer() string {
	if s.Issuer != "" {
		return s.Issuer
	}
	return s.URL
}

// Host is the server's name for people.
func (s *Server) Host() string {
	u, err := url.Parse(s.URL)
	if err != nil {
		return s.URL
	}
	return u.Host
}

// Card returns the JSON that ParseServer reads.
func (s *Server) Card() []byte {
	b, err := json.MarshalIndent(s.card(), "", "  ")
	if err != nil {
		panic("client: internal error: " + err.Error()) // strings
	}
	return append(b, '\n')
}

func (s *Server) card() cardJSON {
	return cardJSON{s.URL, s.Others, s.Issuer, fleet.FormatID(s.Fleet), s.CA}
}

// MarshalJSON writes the card.
func (s *Server) MarshalJSON() ([]byte, error) { return json.Marshal(s.card()) }

// UnmarshalJSON reads a card as strictly as ParseServer.
func (s *Server) UnmarshalJSON(b []byte) error {
	read, err := ParseServer(b)
	if err == nil {
		*s = *read
	}
	return err
}
