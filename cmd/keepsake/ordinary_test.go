//go:build !windows

package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
)

// nobody is a user without rights. Tests often run as root, whom no mode keeps from reading a file.
const nobody = 65534

// ordinaryMain runs a command as an ordinary user to whom the script's whole folder belongs: "ordinary keepsake backup".
func ordinaryMain() {
	cmd := exec.Command(os.Args[1], os.Args[2:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	if os.Getuid() == 0 {
		program, err := handOver(os.Getenv("WORK"))
		if err != nil {
			fmt.Fprintln(os.Stderr, "ordinary:", err)
			os.Exit(1)
		}
		cmd.Path, cmd.Err = program, nil
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	}
	err := cmd.Run()
	if err != nil && !errors.As(err, new(*exec.ExitError)) {
		fmt.Fprintln(os.Stderr, "ordinary:", err)
		os.Exit(1)
	}
	os.Exit(cmd.ProcessState.ExitCode())
}

// handOver gives the folder to nobody, opens the way to it, and puts a copy of this program there.
func handOver(work string) (program string, err error) {
	program = filepath.Join(work, ".ordinary", "keepsake")
	if _, err := os.Stat(program); errors.Is(err, fs.ErrNotExist) {
		if err := copySelf(program); err != nil {
			return "", err
		}
	}
	err = filepath.WalkDir(work, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Lchown(path, nobody, nobody)
	})
	for dir := filepath.Dir(work); err == nil && dir != filepath.Clean(os.TempDir()) && dir != "/"; dir = filepath.Dir(dir) {
		var info fs.FileInfo
		if info, err = os.Stat(dir); err == nil && info.Mode().Perm()&0o001 == 0 {
			err = os.Chmod(dir, info.Mode().Perm()|0o011)
		}
	}
	return program, err
}

func copySelf(to string) error {
	if err := os.Mkdir(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	from, err := os.Open(self)
	if err != nil {
		return err
	}
	defer from.Close()
	f, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o755)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, from)
	return errors.Join(err, f.Close())
}
