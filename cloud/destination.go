package cloud

import (
	"fmt"
	"net/netip"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// The kinds of a Destination.
const (
	KindPath     = "path"     // a folder of this computer
	KindGDrive   = "gdrive"   // Google Drive
	KindICloud   = "icloud"   // iCloud Drive
	KindDropbox  = "dropbox"  // Dropbox
	KindOneDrive = "onedrive" // OneDrive
	KindB2       = "b2"       // Backblaze B2
	KindS3       = "s3"       // Amazon S3, or with Host a server that speaks its protocol
	KindWebDAV   = "webdav"   // a WebDAV server
	KindSFTP     = "sftp"     // a server reached by SSH
	KindRclone   = "rclone"   // a remote of rclone's own configuration
)

// maxDestination is the length of the longest destination that is not a path, in bytes.
const maxDestination = 2048

// A Destination is a place for a backup as people write it, without secrets:
//
//	gdrive:Folder/Sub  icloud:Folder  dropbox:Folder  onedrive:Folder  b2:bucket/prefix
//	s3://bucket/prefix  s3+https://host[:port]/bucket/prefix
//	webdav+https://[user@]host[:port]/path  sftp://[user@]host[:port]/path
//	rclone:remote:path  remote:path
//
// and everything else is the path of a folder. A name behind the kind tells
// several accounts apart: gdrive@work:Folder. It is comparable, and two that are
// equal are one place.
type Destination struct {
	Kind    string // one of the Kind constants
	Account string // "work" of gdrive@work; "" for the only one
	Remote  string // of KindRclone: the remote's name
	Host    string // of s3+https, webdav and sftp: lower case, with the port when it is not the usual one
	User    string // of webdav and sftp; "" when it is not said
	// Plain says that the server is reached by http without TLS, which only one on
	// this computer may be.
	Plain bool
	// Path is where below that, with / between the parts and none at the end.
	// Of S3 and B2 the first part is the bucket. Of KindPath it is the text as it
	// was written. Of KindSFTP one that begins with / is absolute, any other is
	// below the user's folder (sftp://host/~/path).
	Path string
}

// A DestinationError says what is wrong with the text of a destination. Neither
// field repeats the text: it may hold a password.
type DestinationError struct {
	Problem string
	Hint    string // what to write instead; "" when the problem says it
}

func (e *DestinationError) Error() string { return "cloud: destination: " + e.Problem }

func wrong(hint, problem string, args ...any) (Destination, error) {
	return Destination{}, &DestinationError{fmt.Sprintf(problem, args...), hint}
}

const (
	hintLogin   = "sign in once, and passwords and keys are asked for: keepsake cloud login DEST"
	hintForms   = "how destinations are written: keepsake help destinations"
	hintHTTPS   = "use https; http is for servers on this computer only"
	hintServers = "a WebDAV server is webdav+https://host/path, an S3 server is s3+https://host/bucket/prefix"
)

// ParseDestination reads a destination. The error is a *DestinationError.
func ParseDestination(text string) (Destination, error) {
	if text == "" {
		return wrong(hintForms, "is empty")
	}
	head, rest, ok := strings.Cut(text, ":")
	// "C:\Backup", "./a:b" and "/media/a:b" are paths.
	if !ok || len(head) == 1 || strings.ContainsAny(head, `/\`) {
		if strings.IndexByte(text, 0) >= 0 {
			return wrong("", "holds a zero byte")
		}
		return Destination{Kind: KindPath, Path: text}, nil
	}
	switch {
	case len(text) > maxDestination:
		return wrong("", "is longer than %d bytes", maxDestination)
	case !utf8.ValidString(text) || strings.ContainsFunc(text, unicode.IsControl):
		return wrong("", "holds a control character, or is not UTF-8")
	}
	scheme, account, hasAccount := strings.Cut(strings.ToLower(head), "@")
	if hasAccount && !accountName.matches(account) {
		return wrong("gdrive@work:Folder for the account work, say", "the name of an account is 1 to 32 of a-z, 0-9, - and _")
	}
	if where, ok := strings.CutPrefix(rest, "//"); ok {
		if d, isServer := servers[scheme]; isServer {
			d.Account = account
			return d.parseServer(where)
		}
	}
	switch scheme {
	case KindGDrive, KindICloud, KindDropbox, KindOneDrive, KindB2:
		return Destination{Kind: scheme, Account: account}.below(strings.TrimLeft(rest, "/"))
	}
	return parseRemote(scheme, head, rest)
}

var accountName = form{regexp.MustCompile(`\A[a-z0-9_-]+\z`), 32}

// servers are the schemes with // behind the colon.
var servers = map[string]Destination{
	"s3":           {Kind: KindS3},
	"s3+https":     {Kind: KindS3, Host: "?"},
	"s3+http":      {Kind: KindS3, Host: "?", Plain: true},
	"webdav+https": {Kind: KindWebDAV, Host: "?"},
	"webdav+http":  {Kind: KindWebDAV, Host: "?", Plain: true},
	"sftp":         {Kind: KindSFTP, Host: "?"},
}

// parseServer reads what stands behind //. d.Host is not empty when a host comes first.
func (d Destination) parseServer(where string) (Destination, error) {
	if d.Host == "" {
		return d.below(where)
	}
	host, rest, _ := strings.Cut(where, "/")
	if at := strings.LastIndexByte(host, '@'); at >= 0 {
		d.User, host = host[:at], host[at+1:]
	}
	switch {
	case strings.Contains(d.User, ":"):
		return wrong(hintLogin, "a password or secret key must not be part of it")
	case d.User != "" && d.Kind == KindS3:
		return wrong(hintLogin, "an access key must not be part of it")
	case d.Account != "" && d.Kind != KindS3:
		return wrong("put the user before the host: "+d.Kind+"… ://user@host/path", "accounts of one server are told apart by the user")
	case !userName.matches(d.User):
		return wrong("", "the user is not made of letters, digits and . _ - + @")
	}
	var err error
	if d.Host, err = d.parseHost(strings.ToLower(host)); err != nil {
		return Destination{}, err
	}
	return d.below(rest)
}

var (
	userName   = form{regexp.MustCompile(`\A[\p{L}\p{N}._+@-]*\z`), 128}
	remoteName = form{regexp.MustCompile(`\A[\p{L}\p{N}_.+@-][\p{L}\p{N}_.+@ -]*\z`), 64}
	hostName   = form{regexp.MustCompile(`\A(?:[a-z0-9]|[a-z0-9][a-z0-9.-]*[a-z0-9]|\[[0-9a-f:.]+\])\z`), 253}
	portNumber = form{regexp.MustCompile(`\A[1-9][0-9]*\z`), 5}
)

// A form is what a text looks like, of at most so many characters: a regular expression
// that counts to 128 by itself is 128 copies of what it counts, made at every start.
type form struct {
	*regexp.Regexp
	most int
}

func (f form) matches(text string) bool {
	return utf8.RuneCountInString(text) <= f.most && f.MatchString(text)
}

// isHost reports whether a text is a name or an address, with or without a port.
func isHost(text string) bool {
	colon := strings.LastIndexByte(text, ':')
	if colon <= strings.LastIndexByte(text, ']') {
		return hostName.matches(text)
	}
	return hostName.matches(text[:colon]) && portNumber.matches(text[colon+1:])
}

// parseHost leaves out the usual port.
func (d Destination) parseHost(host string) (string, error) {
	if !isHost(host) {
		_, err := wrong(hintForms, "the host is missing or is not a name or an address, with the port behind a colon")
		return "", err
	}
	usual := map[bool]string{true: ":80", false: ":443"}[d.Plain]
	if d.Kind == KindSFTP {
		usual = ":22"
	}
	host = strings.TrimSuffix(host, usual)
	if u := (&url.URL{Host: host}); d.Plain && !isLoopback(u.Hostname()) {
		_, err := wrong(hintHTTPS, "http without TLS shows the sign-in to everybody on the way")
		return "", err
	}
	return host, nil
}

func isLoopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}

// parseRemote reads a remote of rclone, or says why it is none.
func parseRemote(scheme, head, rest string) (Destination, error) {
	_, isServer := servers[scheme]
	switch {
	case scheme == "http" || scheme == "https" || scheme == KindWebDAV:
		return wrong(hintServers, "%q does not say what the server speaks", scheme)
	case isServer:
		return wrong(hintForms, "behind %s: two slashes are missing", scheme)
	case strings.HasPrefix(rest, "//"):
		return wrong(hintForms, "is of no known kind")
	}
	if scheme == KindRclone {
		var ok bool
		if head, rest, ok = strings.Cut(rest, ":"); !ok {
			return wrong("rclone:remote:path", "the colon behind the name of rclone's remote is missing")
		}
	}
	if !remoteName.matches(head) {
		return wrong("a folder with a colon in its name is ./NAME", "is no known kind, and no name that a remote of rclone has; rclone's options are not taken here")
	}
	return Destination{Kind: KindRclone, Remote: head}.below(rest)
}

// below reads the path on the cloud.
func (d Destination) below(p string) (Destination, error) {
	if d.Kind == KindWebDAV || d.Kind == KindS3 {
		if strings.ContainsAny(p, "?#") {
			return wrong(hintLogin, "? and # have no place in it: what stands behind them may be a secret")
		}
	}
	if d.Kind == KindWebDAV {
		var err error
		if p, err = url.PathUnescape(p); err != nil || !utf8.ValidString(p) || strings.ContainsFunc(p, unicode.IsControl) {
			return wrong("write % as %25", "the path is not percent-encoded as in an address of the web")
		}
	}
	home := ""
	if d.Kind == KindSFTP {
		home = "/"
		if p == "~" || strings.HasPrefix(p, "~/") {
			p, home = strings.TrimPrefix(p, "~"), ""
		}
	}
	if d.Kind == KindRclone && strings.HasPrefix(p, "/") {
		home = "/" // of a remote that is a folder or an SFTP server
	}
	if slices.ContainsFunc(strings.Split(p, "/"), func(part string) bool { return part == "." || part == ".." }) {
		return wrong("", ". and .. have no place in it")
	}
	d.Path = home + strings.TrimPrefix(path.Clean("/"+p), "/")
	if d.Path == "" && (d.Kind == KindS3 || d.Kind == KindB2) {
		return wrong(hintForms, "the bucket is missing")
	}
	return d, nil
}

// String is the text that ParseDestination reads as this destination. It holds no secret.
func (d Destination) String() string {
	switch d.Kind {
	case KindPath:
		return d.Path
	case KindRclone:
		return "rclone:" + d.Remote + ":" + d.Path
	case KindWebDAV:
		return d.Login() + (&url.URL{Path: "/" + d.Path}).EscapedPath()
	case KindSFTP:
		switch {
		case d.Path == "/~" || strings.HasPrefix(d.Path, "/~/"):
			return d.Login() + "/" + d.Path // a folder of this name, not the user's
		case strings.HasPrefix(d.Path, "/"):
			return d.Login() + d.Path
		}
		return strings.TrimSuffix(d.Login()+"/~/"+d.Path, "/")
	case KindS3:
		if d.Host == "" {
			return d.Login() + "://" + d.Path
		}
		return d.Login() + "/" + d.Path
	}
	return d.Login() + ":" + d.Path
}

// Network says that the destination is reached through keepsake-cloud, and is not
// a folder of this computer.
func (d Destination) Network() bool { return d.Kind != KindPath }

// Login names the account: all destinations with the same Login are reached with
// one sign-in, kept under this name. "" for a path and for a remote of rclone,
// whose configuration has its own.
func (d Destination) Login() string {
	name := d.Kind
	if d.Host != "" && d.Kind != KindSFTP {
		name += map[bool]string{true: "+http", false: "+https"}[d.Plain]
	}
	if d.Account != "" {
		name += "@" + d.Account
	}
	switch {
	case d.Kind == KindPath || d.Kind == KindRclone:
		return ""
	case d.Host == "":
		return name
	case d.User != "":
		return name + "://" + d.User + "@" + d.Host
	}
	return name + "://" + d.Host
}
