package issuer

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	netmail "net/mail"
	"time"

	"github.com/wneessen/go-mail"
)

// SMTP says how codes leave by mail.
type SMTP struct {
	Host string
	Port int
	// Implicit is TLS from the first byte (port 465); otherwise STARTTLS, and no
	// mail where the server does not offer it.
	Implicit bool
	// InsecurePlaintext sends without TLS: codes can be read on the way.
	InsecurePlaintext bool
	// Roots are the authorities for the server's certificate; nil means the
	// system's.
	Roots *x509.CertPool
	// Username and Password log in there, if not empty.
	Username, Password string
	// From is the sender's address, with or without a name.
	From string
	// Service is what the mail calls the service: "Example Chat".
	Service string
	// Now is the clock, nil means time.Now.
	Now func() time.Time
}

type smtpSender struct {
	c       SMTP
	options []mail.Option
}

// NewSMTP makes a Sender that mails codes. It connects for each mail.
func NewSMTP(c SMTP) (Sender, error) {
	if _, err := netmail.ParseAddress(c.From); err != nil || c.Service == "" {
		return nil, errors.New("issuer: mail needs the sender's address and the service's name")
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	s := &smtpSender{c, []mail.Option{
		mail.WithPort(c.Port), mail.WithTimeout(sendTimeout / 3),
		mail.WithTLSConfig(&tls.Config{ServerName: c.Host, RootCAs: c.Roots, MinVersion: tls.VersionTLS12}),
	}}
	switch {
	case c.InsecurePlaintext:
		s.options = append(s.options, mail.WithTLSPolicy(mail.NoTLS))
	case c.Implicit:
		s.options = append(s.options, mail.WithSSL())
	default:
		s.options = append(s.options, mail.WithTLSPolicy(mail.TLSMandatory))
	}
	if c.Username != "" {
		s.options = append(s.options, mail.WithSMTPAuth(mail.SMTPAuthAutoDiscover), mail.WithUsername(c.Username), mail.WithPassword(c.Password))
	}
	if _, err := mail.NewClient(c.Host, s.options...); err != nil {
		return nil, fmt.Errorf("setting up mail: %w", err)
	}
	return s, nil
}

// Send mails the code to the handle.
func (s *smtpSender) Send(ctx context.Context, m Message) error {
	a, err := netmail.ParseAddress(m.Handle)
	if err != nil || a.Address != m.Handle {
		return errors.New("issuer: a handle that is no mail address")
	}
	msg := mail.NewMsg()
	if err := errors.Join(msg.From(s.c.From), msg.To(m.Handle)); err != nil {
		return fmt.Errorf("addressing a mail: %w", errAddress)
	}
	// The code is not in the subject, which a locked phone shows.
	msg.Subject("Your code for " + s.c.Service)
	msg.SetDateWithValue(s.c.Now())
	msg.SetMessageID()
	msg.SetGenHeader("Auto-Submitted", "auto-generated") // RFC 3834: no reply of a machine
	msg.SetBodyString(mail.TypeTextPlain, s.text(m))
	client, err := mail.NewClient(s.c.Host, s.options...)
	if err != nil {
		return fmt.Errorf("setting up mail: %w", err)
	}
	if err := client.DialAndSendWithContext(ctx, msg); err != nil {
		return fmt.Errorf("sending mail: %w", hideAddresses(err))
	}
	return nil
}

var errAddress = errors.New("issuer: an address that the mail library refuses")

func (s *smtpSender) text(m Message) string {
	left := m.Expires.Sub(s.c.Now()).Round(time.Minute) / time.Minute
	return fmt.Sprintf(`Your code for %s is

    %s %s

It is good for %d minutes, and only on the device where you asked for it.
Nobody who is entitled to it will ever ask you for it.

If you did not ask for a code, ignore this mail: without the code nobody
gets in.
`, s.c.Service, m.Code[:4], m.Code[4:], left)
}

// hideAddresses keeps what a server says about a recipient out of logs: go-mail
// puts the address into its errors.
func hideAddresses(err error) error {
	var failed *mail.SendError
	if errors.As(err, &failed) {
		return fmt.Errorf("issuer: the mail server refused (code %d, temporary: %v)", failed.ErrorCode(), failed.IsTemp())
	}
	return err
}
