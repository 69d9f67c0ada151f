package main

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"math/rand"
	"os"
)

const blockSize = 1 << 20

// content is bytes made as they are needed, never held: a block of noise again and again, each time with another
// beginning, so that no two blocks and no two contents are alike and nothing in them can be compressed. Or it is a gzip
// file, read as it is needed, with the seed as its time: the same in other bytes.
type content struct {
	seed  uint64
	size  int64
	block []byte
	file  string
}

const gzipTime = 4 // where it is in a gzip's header (RFC 1952, section 2.3)

func newContent(seed uint64, size int64) *content {
	block := make([]byte, blockSize)
	_, _ = rand.New(rand.NewSource(1)).Read(block)
	return &content{seed: seed, size: size, block: block}
}

func openContent(seed uint64, file string) (*content, error) {
	about, err := os.Stat(file)
	if err != nil {
		return nil, err
	}
	return &content{seed, about.Size(), make([]byte, blockSize), file}, nil
}

// newContents makes one content for each seed; of the files in turn if there are any, of noise if not.
func newContents(seeds []uint64, size int64, files []string) ([]*content, error) {
	var made []*content
	for number, seed := range seeds {
		one := newContent(seed, size)
		if len(files) > 0 {
			var err error
			if one, err = openContent(seed, files[number%len(files)]); err != nil {
				return nil, err
			}
		}
		made = append(made, one)
	}
	return made, nil
}

// each calls take with every block in order; the slice is valid until take returns.
func (c *content) each(take func([]byte) error) error {
	if c.file != "" {
		return c.read(take)
	}
	for offset := int64(0); offset < c.size; offset += blockSize {
		binary.LittleEndian.PutUint64(c.block, c.seed)
		binary.LittleEndian.PutUint64(c.block[8:], uint64(offset))
		block := c.block
		if c.size-offset < blockSize {
			block = block[:c.size-offset]
		}
		if err := take(block); err != nil {
			return err
		}
	}
	return nil
}

func (c *content) read(take func([]byte) error) error {
	file, err := os.Open(c.file)
	if err != nil {
		return err
	}
	defer file.Close()
	for offset := int64(0); offset < c.size; {
		block := c.block
		if c.size-offset < blockSize {
			block = block[:c.size-offset]
		}
		if _, err := io.ReadFull(file, block); err != nil {
			return err
		}
		if offset == 0 {
			binary.LittleEndian.PutUint32(block[gzipTime:], uint32(c.seed))
		}
		if err := take(block); err != nil {
			return err
		}
		offset += int64(len(block))
	}
	return nil
}

func (c *content) digest() string {
	sum := sha256.New()
	_ = c.each(func(block []byte) error {
		_, _ = sum.Write(block)
		return nil
	})
	return fmt.Sprintf("sha256:%x", sum.Sum(nil))
}

func digests(flags *flag.FlagSet, arguments []string) error {
	var seeds, files list
	flags.Var(&seeds, "seed", "a content's number; may be repeated")
	flags.Var(&files, "file", "a gzip file that it is made of; may be repeated")
	size := flags.Int64("size", 0, "bytes of each, if they are of no files")
	if err := flags.Parse(arguments); err != nil {
		return err
	}
	numbers, err := seeds.numbers()
	if err != nil {
		return err
	}
	contents, err := newContents(numbers, *size, files)
	if err != nil {
		return err
	}
	found := make([]string, len(numbers))
	err = together(len(numbers), func(number int) error {
		found[number] = contents[number].digest()
		return nil
	})
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(found)
}

func write(flags *flag.FlagSet, arguments []string) error {
	seed := flags.Uint64("seed", 0, "the content's number")
	size := flags.Int64("size", 0, "its bytes")
	path := flags.String("file", "", "where to")
	if err := flags.Parse(arguments); err != nil {
		return err
	}
	var file io.WriteCloser
	file, err := os.Create(*path)
	if err != nil {
		return err
	}
	if err = newContent(*seed, *size).each(func(block []byte) error {
		_, err := file.Write(block)
		return err
	}); err != nil {
		return err
	}
	return file.Close()
}
