package servertest

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha1"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"os"
	"os/exec"
	osuser "os/user"
	"path/filepath"
	"strconv"
	"testing"

	"golang.org/x/crypto/ssh"
)

// Apache needs what Debian puts into apache2-bin: the server and its modules,
// without a service that starts.
const apacheConf = `ServerName localhost
ServerRoot %[1]s
PidFile %[1]s/pid
Mutex file:%[1]s default
ErrorLog /dev/stderr
LogLevel error
Listen 127.0.0.1:%[2]s
KeepAlive On
MaxKeepAliveRequests 0
KeepAliveTimeout 300
%[3]s
DavLockDB %[1]s/locks/db
DocumentRoot %[1]s/files
<Directory %[1]s/files>
  Dav On
  DavDepthInfinity Off
  AuthType Basic
  AuthName test
  AuthUserFile %[1]s/users
  Require valid-user
</Directory>
`

// Apache is Debian's Apache with mod_dav, in HTTP/1.1.
func Apache(t testing.TB) Server {
	t.Helper()
	path := program(t, "apache2", "apt install apache2-bin")
	dir, port := folder(t), freePort(t)
	who := ""
	for _, name := range []string{"mpm_event", "authn_core", "authn_file", "authz_core", "authz_user", "auth_basic", "dav", "dav_fs"} {
		who += fmt.Sprintf("LoadModule %s_module /usr/lib/apache2/modules/mod_%s.so\n", name, name)
	}
	if os.Getuid() == 0 {
		who += "User www-data\nGroup www-data\n"
	}
	for _, sub := range []string{"files", "locks"} {
		own(t, filepath.Join(dir, sub), "www-data")
	}
	sum := sha1.Sum([]byte(password))
	write(t, filepath.Join(dir, "users"), user+":{SHA}"+base64.StdEncoding.EncodeToString(sum[:])+"\n", 0o644)
	conf := filepath.Join(dir, "conf")
	write(t, conf, fmt.Sprintf(apacheConf, dir, port, who), 0o644)
	addr := "127.0.0.1:" + port
	start(t, addr, exec.Command(path, "-f", conf, "-DFOREGROUND"))
	return webdav(t, addr, "http://"+addr, filepath.Join(dir, "files"))
}

// own makes a folder of another user's, if root may.
func own(t testing.TB, dir, name string) {
	t.Helper()
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatalf("making a folder for a server: %v", err)
	}
	if os.Getuid() != 0 {
		return
	}
	u, err := osuser.Lookup(name)
	if err != nil {
		t.Fatalf("looking for the server's user: %v", err)
	}
	uid, _ := strconv.Atoi(u.Uid)
	gid, _ := strconv.Atoi(u.Gid)
	if err := os.Chown(dir, uid, gid); err != nil {
		t.Fatalf("making a folder for a server: %v", err)
	}
}

const sshdConf = `ListenAddress 127.0.0.1:%[2]s
HostKey %[1]s/host
PidFile none
AuthorizedKeysFile %[1]s/authorized
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin prohibit-password
StrictModes no
UsePAM no
MaxStartups 100
MaxSessions 100
Subsystem sftp internal-sftp
`

// SSHD is OpenSSH's server with its SFTP, for the user who runs the test. Its
// host key is in the file that the option known_hosts_file names.
func SSHD(t testing.TB) Server {
	t.Helper()
	path := program(t, "sshd", "apt install openssh-server")
	dir, port := folder(t), freePort(t)
	if os.Getuid() == 0 {
		// Debian's service makes it, and there is none here.
		if err := os.MkdirAll("/run/sshd", 0o755); err != nil {
			t.Fatalf("configuring sshd: %v", err)
		}
	}
	host := key(t, filepath.Join(dir, "host"))
	write(t, filepath.Join(dir, "authorized"), key(t, filepath.Join(dir, "mine")), 0o600)
	known := filepath.Join(dir, "known")
	write(t, known, "[127.0.0.1]:"+port+" "+host, 0o600)
	conf := filepath.Join(dir, "conf")
	write(t, conf, fmt.Sprintf(sshdConf, dir, port), 0o600)
	addr := "127.0.0.1:" + port
	start(t, addr, exec.Command(path, "-D", "-e", "-f", conf))
	me, err := osuser.Current()
	if err != nil {
		t.Fatalf("asking who I am: %v", err)
	}
	files := filepath.Join(dir, "files", "keepsake")
	return Server{
		Backend: "sftp", Root: files, Addr: addr, Folder: files,
		Options: map[string]string{
			"host": "127.0.0.1", "port": port, "user": me.Username,
			"key_file": filepath.Join(dir, "mine"), "known_hosts_file": known,
		},
	}
}

// key makes a pair of keys, and gives the public one as a line.
func key(t testing.TB, path string) string {
	t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatalf("making a key: %v", err)
	}
	block, err := ssh.MarshalPrivateKey(private, "")
	if err != nil {
		t.Fatalf("making a key: %v", err)
	}
	write(t, path, string(pem.EncodeToMemory(block)), 0o600)
	line, err := ssh.NewPublicKey(public)
	if err != nil {
		t.Fatalf("making a key: %v", err)
	}
	return string(ssh.MarshalAuthorizedKey(line))
}
