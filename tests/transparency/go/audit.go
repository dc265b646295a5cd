package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/mod/sumdb/tlog"
)

const (
	height = 8
	width  = 1 << height
)

// folder reads the files of a log. It is a tlog.TileReader.
type folder string

func (f folder) Height() int { return height }

func (f folder) SaveTiles([]tlog.Tile, [][]byte) {}

func (f folder) ReadTiles(tiles []tlog.Tile) ([][]byte, error) {
	contents := make([][]byte, len(tiles))
	for i, tile := range tiles {
		content, err := f.read(path(tile))
		if err != nil {
			return nil, err
		}
		contents[i] = content
	}
	return contents, nil
}

func (f folder) read(path string) ([]byte, error) {
	return os.ReadFile(filepath.Join(string(f), filepath.FromSlash(path)))
}

// path is a tile's in C2SP tlog-tiles, which leaves the height out and calls data entries.
func path(tile tlog.Tile) string {
	return strings.Replace(strings.Replace(tile.Path(), "tile/8/", "tile/", 1), "tile/data/", "tile/entries/", 1)
}

// audit replays the whole log against its checkpoint, and proves that the tree began as an older one.
func audit(place, vkey, oldPath string) error {
	f := folder(place)
	signed, err := f.read("checkpoint")
	if err != nil {
		return err
	}
	tree, _, err := openCheckpoint(signed, vkey)
	if err != nil {
		return err
	}
	hashes := tlog.TileHashReader(tree, f)
	if err := replay(f, tree, hashes); err != nil {
		return err
	}
	old := tlog.Tree{}
	if oldPath != "" {
		oldSigned, err := os.ReadFile(oldPath)
		if err != nil {
			return err
		}
		if old, _, err = openCheckpoint(oldSigned, vkey); err != nil {
			return err
		}
	}
	if old.N > 0 {
		proof, err := tlog.ProveTree(tree.N, old.N, hashes)
		if err != nil {
			return err
		}
		if err := tlog.CheckTree(proof, tree.N, tree.Hash, old.N, old.Hash); err != nil {
			return fmt.Errorf("the tree did not begin as that of size %d: %w", old.N, err)
		}
	}
	fmt.Printf("%d entries replayed, consistent with size %d\n", tree.N, old.N)
	return nil
}

// replay hashes every entry anew: the tree they make, and each one's place in the signed one.
func replay(f folder, tree tlog.Tree, hashes tlog.HashReader) error {
	var stored []tlog.Hash
	reader := tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		found := make([]tlog.Hash, len(indexes))
		for i, index := range indexes {
			found[i] = stored[index]
		}
		return found, nil
	})
	var index int64
	for number := int64(0); number*width < tree.N; number++ {
		bundle := tlog.Tile{H: height, L: -1, N: number, W: int(min(width, tree.N-number*width))}
		content, err := f.read(path(bundle))
		if err != nil {
			return err
		}
		for count := 0; count < bundle.W; count++ {
			var entry []byte
			if entry, content, err = next(content); err != nil {
				return fmt.Errorf("bundle %d: %w", number, err)
			}
			made, err := tlog.StoredHashes(index, entry, reader)
			if err != nil {
				return err
			}
			stored = append(stored, made...)
			if err := included(tree, index, entry, hashes); err != nil {
				return fmt.Errorf("entry %d is not the one that is signed: %w", index, err)
			}
			index++
		}
		if len(content) > 0 {
			return fmt.Errorf("bundle %d has more than %d entries", number, bundle.W)
		}
	}
	root, err := tlog.TreeHash(tree.N, reader)
	if err != nil {
		return err
	}
	if root != tree.Hash {
		return errors.New("the entries make another tree than the signed one")
	}
	return nil
}

// included checks an entry's leaf, and for one in 97 and each bundle's ends the whole way up to the root.
func included(tree tlog.Tree, index int64, entry []byte, hashes tlog.HashReader) error {
	leaf := tlog.RecordHash(entry)
	if index%97 != 0 && index%width != 0 && index%width != width-1 && index != tree.N-1 {
		return nil
	}
	proof, err := tlog.ProveRecord(tree.N, index, hashes)
	if err != nil {
		return err
	}
	return tlog.CheckRecord(proof, tree.N, tree.Hash, index, leaf)
}

// next cuts an entry off a bundle: its length in two bytes, then its own.
func next(content []byte) (entry, rest []byte, err error) {
	if len(content) < 2 {
		return nil, nil, errors.New("cut off")
	}
	end := 2 + int(binary.BigEndian.Uint16(content))
	if len(content) < end {
		return nil, nil, errors.New("cut off")
	}
	return content[2:end], content[end:], nil
}
