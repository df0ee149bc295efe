package store

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
)

var (
	ErrShort   = errors.New("record is cut off")
	ErrCorrupt = errors.New("checksum does not fit")
)

const headerSize = 12

// Encode writes key and value with their lengths and a checksum.
func Encode(key, value string) []byte {
	buf := make([]byte, headerSize+len(key)+len(value))
	binary.BigEndian.PutUint32(buf[4:], uint32(len(key)))
	binary.BigEndian.PutUint32(buf[8:], uint32(len(value)))
	copy(buf[headerSize:], key)
	copy(buf[headerSize+len(key):], value)
	binary.BigEndian.PutUint32(buf, crc32.ChecksumIEEE(buf[4:]))
	return buf
}

// Decode reads one record and tells how long it was.
func Decode(buf []byte) (key, value string, size int, err error) {
	if len(buf) < headerSize {
		return "", "", 0, ErrShort
	}
	keyLen := int(binary.BigEndian.Uint32(buf[4:]))
	valueLen := int(binary.BigEndian.Uint32(buf[8:]))
	size = headerSize + keyLen + valueLen
	if len(buf) < size {
		return "", "", 0, ErrShort
	}
	if crc32.ChecksumIEEE(buf[4:size]) != binary.BigEndian.Uint32(buf) {
		return "", "", 0, ErrCorrupt
	}
	key = string(buf[headerSize : headerSize+keyLen])
	value = string(buf[headerSize+keyLen : size])
	return key, value, size, nil
}
