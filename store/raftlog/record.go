package raftlog

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"time"

	"github.com/hashicorp/raft"
)

// A record of the journal is: length of the payload (4), chained crc32c (4),
// payload. The checksum of a record covers that of the record before, and that
// of the first the journal's generation: what an earlier use of the file left
// behind never passes for a successor. The payload is: index, term, time of the
// append in nanoseconds (uvarints), type (1), length of the data (uvarint),
// data, extensions.
const recordHeader = 8

var errBadRecord = errors.New("damaged record in the raft journal")

func appendRecord(buf []byte, chain uint32, log *raft.Log) ([]byte, uint32) {
	start := len(buf)
	buf = append(buf, make([]byte, recordHeader)...)
	buf = binary.AppendUvarint(buf, log.Index)
	buf = binary.AppendUvarint(buf, log.Term)
	buf = binary.AppendUvarint(buf, uint64(unixNano(log.AppendedAt)))
	buf = append(buf, byte(log.Type))
	buf = binary.AppendUvarint(buf, uint64(len(log.Data)))
	buf = append(buf, log.Data...)
	buf = append(buf, log.Extensions...)
	payload := buf[start+recordHeader:]
	chain = checksum(chain, payload)
	binary.LittleEndian.PutUint32(buf[start:], uint32(len(payload)))
	binary.LittleEndian.PutUint32(buf[start+4:], chain)
	return buf, chain
}

func unixNano(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixNano()
}

func checksum(chain uint32, payload []byte) uint32 {
	var prefix [8]byte
	binary.LittleEndian.PutUint32(prefix[:], chain)
	binary.LittleEndian.PutUint32(prefix[4:], uint32(len(payload)))
	return crc32.Update(crc32.Checksum(prefix[:], castagnoli), castagnoli, payload)
}

// decodePayload fills log; its data is a copy.
func decodePayload(payload []byte, log *raft.Log) error {
	var fields [3]uint64
	for i := range fields {
		v, n := binary.Uvarint(payload)
		if n <= 0 {
			return errBadRecord
		}
		fields[i], payload = v, payload[n:]
	}
	if len(payload) == 0 {
		return errBadRecord
	}
	kind := raft.LogType(payload[0])
	size, n := binary.Uvarint(payload[1:])
	if n <= 0 || size > uint64(len(payload)-1-n) {
		return errBadRecord
	}
	rest := append([]byte(nil), payload[1+n:]...)
	*log = raft.Log{Index: fields[0], Term: fields[1], Type: kind, Data: rest[:size:size]}
	if ext := rest[size:]; len(ext) > 0 {
		log.Extensions = ext
	}
	if fields[2] != 0 {
		log.AppendedAt = time.Unix(0, int64(fields[2]))
	}
	return nil
}

// parseRecord returns the payload of the record at the start of buf, and its
// whole size; false if there is no (whole, valid) record.
func parseRecord(buf []byte, chain uint32) (payload []byte, next uint32, ok bool) {
	if len(buf) < recordHeader {
		return nil, 0, false
	}
	n := binary.LittleEndian.Uint32(buf)
	if n == 0 || uint64(n) > uint64(len(buf)-recordHeader) {
		return nil, 0, false
	}
	payload = buf[recordHeader : recordHeader+n]
	next = checksum(chain, payload)
	return payload, next, next == binary.LittleEndian.Uint32(buf[4:])
}
