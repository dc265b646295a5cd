package main

import (
	"bufio"
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/textproto"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/tlog"
)

const (
	hashesMax = 63 // of a consistency proof, c2sp.org/tlog-witness
	bodyMax   = 1 << 16
)

// witness cosigns the checkpoints of one log (c2sp.org/tlog-witness). Its memory is a file.
type witness struct {
	name, origin, logKey, state string
	key                         ed25519.PrivateKey
}

// answer is the status and the body of a response.
type answer struct {
	status int
	body   string
}

// serve answers add-checkpoint on a free port, which it prints first, one request a connection, until it is killed.
func serve(name, seed, logKey, state string) error {
	seedBytes, err := base64.StdEncoding.DecodeString(seed)
	if err != nil || len(seedBytes) != ed25519.SeedSize {
		return errors.New("the seed is not 32 bytes in base64")
	}
	origin, _, _ := strings.Cut(logKey, "+")
	w := &witness{name, origin, logKey, state, ed25519.NewKeyFromSeed(seedBytes)}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Println(listener.Addr().(*net.TCPAddr).Port)
	fmt.Println(w.vkey())
	for {
		connection, err := listener.Accept()
		if err != nil {
			return err
		}
		if err := w.exchange(connection); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
		connection.Close()
	}
}

// vkey is what clients check the witness's cosignatures with.
func (w *witness) vkey() string {
	return fmt.Sprintf("%s+%x+%s", w.name, w.keyID(), base64.StdEncoding.EncodeToString(w.typedKey()))
}

func (w *witness) typedKey() []byte {
	return append([]byte{4}, w.key.Public().(ed25519.PublicKey)...)
}

func (w *witness) keyID() []byte {
	sum := sha256.Sum256(append([]byte(w.name+"\n"), w.typedKey()...))
	return sum[:4]
}

// exchange reads a request of HTTP/1.1 and answers it.
func (w *witness) exchange(connection net.Conn) error {
	reader := textproto.NewReader(bufio.NewReader(connection))
	line, err := reader.ReadLine()
	if err != nil {
		return err
	}
	headers, err := reader.ReadMIMEHeader()
	if err != nil {
		return err
	}
	length, err := strconv.Atoi(headers.Get("Content-Length"))
	if err != nil || length > bodyMax {
		return errors.New("a body needs a length that is not too large")
	}
	body := make([]byte, length)
	if _, err := io.ReadFull(reader.R, body); err != nil {
		return err
	}
	found := answer{405, "POST /add-checkpoint\n"}
	if strings.HasPrefix(line, "POST /add-checkpoint ") {
		found = w.addCheckpoint(body)
	}
	kind := "text/plain"
	if found.status == 409 {
		kind = "text/x.tlog.size"
	}
	_, err = fmt.Fprintf(connection, "HTTP/1.1 %d -\r\nContent-Type: %s\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s",
		found.status, kind, len(found.body), found.body)
	return err
}

// addCheckpoint decides in the order of the specification, and remembers what it signs before it answers.
func (w *witness) addCheckpoint(body []byte) answer {
	head, signed, found := bytes.Cut(body, []byte("\n\n"))
	oldSize, proof, err := parseHead(string(head))
	if !found || err != nil {
		return answer{400, "malformed\n"}
	}
	if origin, _, _ := bytes.Cut(signed, []byte("\n")); string(origin) != w.origin {
		return answer{404, "unknown origin\n"}
	}
	tree, text, err := openCheckpoint(signed, w.logKey)
	if err != nil {
		return answer{403, err.Error() + "\n"}
	}
	if oldSize > tree.N {
		return answer{400, "the old size is beyond the checkpoint\n"}
	}
	known, err := w.known()
	if err != nil {
		return answer{500, err.Error() + "\n"}
	}
	if oldSize != known.N || (tree.N == known.N && known.N > 0 && tree.Hash != known.Hash) {
		return answer{409, fmt.Sprintf("%d\n", known.N)}
	}
	if err := continues(known, tree, proof); err != nil {
		return answer{422, err.Error() + "\n"}
	}
	if err := os.WriteFile(w.state+".new", []byte(text), 0o600); err != nil {
		return answer{500, err.Error() + "\n"}
	}
	if err := os.Rename(w.state+".new", w.state); err != nil {
		return answer{500, err.Error() + "\n"}
	}
	return answer{200, w.cosignature(text)}
}

func continues(known, tree tlog.Tree, proof tlog.TreeProof) error {
	if known.N == 0 || known.N == tree.N {
		if len(proof) > 0 {
			return errors.New("there is nothing to prove")
		}
		return nil
	}
	return tlog.CheckTree(proof, tree.N, tree.Hash, known.N, known.Hash)
}

func parseHead(head string) (int64, tlog.TreeProof, error) {
	lines := strings.Split(head, "\n")
	size, err := strconv.ParseInt(strings.TrimPrefix(lines[0], "old "), 10, 64)
	if err != nil || fmt.Sprintf("old %d", size) != lines[0] || size < 0 || len(lines)-1 > hashesMax {
		return 0, nil, errors.New("malformed")
	}
	var proof tlog.TreeProof
	for _, line := range lines[1:] {
		hash, err := base64.StdEncoding.DecodeString(line)
		if err != nil || len(hash) != tlog.HashSize {
			return 0, nil, errors.New("malformed")
		}
		proof = append(proof, tlog.Hash(hash))
	}
	return size, proof, nil
}

// known is what was cosigned last, the empty tree before the first time.
func (w *witness) known() (tlog.Tree, error) {
	text, err := os.ReadFile(w.state)
	if errors.Is(err, os.ErrNotExist) {
		return tlog.Tree{}, nil
	}
	if err != nil {
		return tlog.Tree{}, err
	}
	return parseCheckpoint(string(text), w.origin)
}

// cosignature is a line of c2sp.org/tlog-cosignature, version 1.
func (w *witness) cosignature(text string) string {
	now := time.Now().Unix()
	message := fmt.Sprintf("cosignature/v1\ntime %d\n%s", now, text)
	content := binary.BigEndian.AppendUint64(w.keyID(), uint64(now))
	content = append(content, ed25519.Sign(w.key, []byte(message))...)
	return fmt.Sprintf("— %s %s\n", w.name, base64.StdEncoding.EncodeToString(content))
}
