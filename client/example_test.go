package client_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"keepsake.example/client"
	"keepsake.example/key"
)

// A backup of a small folder into another one, and what it takes on a new phone: the digits.
func Example() {
	dir, err := os.MkdirTemp("", "keepsake-example-")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	chats, backups := filepath.Join(dir, "Chats"), filepath.Join(dir, "backups")
	if err := os.Mkdir(chats, 0o700); err != nil {
		log.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(chats, "ann.txt"), []byte("see you at noon"), 0o600); err != nil {
		log.Fatal(err)
	}
	paper, err := backUp(filepath.Join(dir, "old-phone"), chats, backups)
	if err != nil {
		log.Fatal(err)
	}
	restored := filepath.Join(dir, "Restored")
	if err := getBack(filepath.Join(dir, "new-phone"), paper, backups, restored); err != nil {
		log.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(restored, "ann.txt"))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s\n", text)
	// Output:
	// files in the backup: 1
	// files restored: 1
	// see you at noon
}

// backUp sets the backup up and runs it once. paper is what the person writes down.
func backUp(profile, chats, backups string) (paper string, err error) {
	ctx := context.Background()
	c := client.New(client.Settings{Profile: profile})
	_, err = c.Enable(ctx, client.EnableOptions{
		Source: chats, Cloud: backups, KeyStore: client.InFile,
		// Show the digits, and return when the person has them: typed back, or in a file.
		Deliver: func(k *key.Key) error { paper = k.Digits(); return nil },
	})
	if err != nil {
		return "", err
	}
	made, err := c.Backup(ctx, client.BackupOptions{})
	if err != nil {
		return "", err
	}
	fmt.Println("files in the backup:", made.Snapshot.Files)
	return paper, nil
}

// getBack restores the newest snapshot where nothing is known but the digits and the place.
func getBack(profile, paper, backups, target string) error {
	k, err := key.Parse([]byte(paper))
	if err != nil {
		return err
	}
	defer k.Wipe()
	c := client.New(client.Settings{Profile: profile})
	got, err := c.Restore(context.Background(), client.RestoreOptions{At: &client.Place{Cloud: backups, Key: k}, Target: target})
	if err != nil {
		return err
	}
	fmt.Println("files restored:", got.Files)
	return nil
}
