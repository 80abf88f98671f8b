package endtoend_test

import (
	"os"
	"testing"
)

// The promise: the phone is lost, and the password alone brings everything back.
func TestPasswordAloneBringsTheChatsBack(t *testing.T) {
	t.Parallel()
	s := newSystem(t)
	chats, err := history()
	check(t, err)
	old := s.newPhone(t, "ann@mail.example")
	old.enable(chats, "blue sofa on a tuesday")
	old.run("status").wants(0, "opens with", "the password")
	old.wantLeft(10)
	check(t, os.RemoveAll(old.path("profile"))) // the phone is lost

	phone := s.newPhone(t, "ann@mail.example")
	phone.restore(phone.path("Chats"), old, "green sofa on a monday", "--enable").wants(11, "wrong password; 9 attempts left; next one now")
	phone.restore(phone.path("Chats"), old, "blue sofa on a tuesday", "--enable").wants(0)
	same(t, chats, phone.path("Chats"))
	phone.wantLeft(10)

	phone.run("password", "change", "--password-file", phone.secret("seven camels read the paper")).wants(0, "10 wrong passwords destroy it")
	third := s.newPhone(t, "ann@mail.example")
	third.guess(old, "blue sofa on a tuesday").wants(11)
	phone.wantLeft(9)
	third.restore(third.path("Chats"), old, "seven camels read the paper").wants(0)
	same(t, chats, third.path("Chats"))
	phone.wantLeft(10)
	phone.run("password", "check", "--password-file", phone.secret("seven camels read the paper")).wants(0)
	phone.run("backup").wants(0)
}
