package simulator

import (
	"encoding/binary"
	"encoding/hex"
)

// An entity's id is a version 4 UUID: its lower 62 bits are the event's number, scrambled so that they look
// drawn, and its upper bits follow from them and the seed. So the id leads back to the number without a table.
const (
	lowMask  = 1<<62 - 1
	scramble = 0x1E3779B97F4A7C15 // odd, and so invertible modulo 2^62
	shift    = 0x2545F4914F6CDD1D // so that number 0 looks drawn too
)

// EntityID returns the id of the entity with that number, the same for the same seed.
func EntityID(seed, number uint64) string {
	low := (number*scramble + shift) & lowMask
	return uuid(highBits(seed, low), low)
}

// Number returns the number of the entity with that id; ok is false when the id was not made with that seed.
func Number(seed uint64, id string) (number uint64, ok bool) {
	high, low, ok := parseUUID(id)
	if !ok || highBits(seed, low) != high {
		return 0, false
	}
	return (low - shift) * inverse(scramble) & lowMask, true
}

// highBits returns the upper half of an id with its version in place.
func highBits(seed, low uint64) uint64 {
	return mix(mix(seed)^low)&^0xF000 | 0x4000
}

// drawnID returns a version 4 UUID drawn from seed and salt.
func drawnID(seed, salt uint64) string {
	low := mix(seed^mix(salt)) & lowMask
	return uuid(highBits(seed+salt, low), low)
}

// uuid writes high, which holds its version, and the 62 bits of low behind the variant.
func uuid(high, low uint64) string {
	var raw [16]byte
	binary.BigEndian.PutUint64(raw[:8], high)
	binary.BigEndian.PutUint64(raw[8:], low|1<<63)
	digits := hex.EncodeToString(raw[:])
	return digits[:8] + "-" + digits[8:12] + "-" + digits[12:16] + "-" + digits[16:20] + "-" + digits[20:]
}

func parseUUID(id string) (high, low uint64, ok bool) {
	if len(id) != 36 || id[8] != '-' || id[13] != '-' || id[18] != '-' || id[23] != '-' {
		return 0, 0, false
	}
	raw, err := hex.DecodeString(id[:8] + id[9:13] + id[14:18] + id[19:23] + id[24:])
	if err != nil {
		return 0, 0, false
	}
	high, low = binary.BigEndian.Uint64(raw[:8]), binary.BigEndian.Uint64(raw[8:])
	return high, low & lowMask, low>>62 == 0b10
}

// mix is the finalizer of splitmix64.
func mix(x uint64) uint64 {
	x += 0x9E3779B97F4A7C15
	x = (x ^ x>>30) * 0xBF58476D1CE4E5B9
	x = (x ^ x>>27) * 0x94D049BB133111EB
	return x ^ x>>31
}

// inverse returns the inverse of an odd number modulo 2^64, by Newton's iteration.
func inverse(odd uint64) uint64 {
	x := odd
	for range 5 {
		x *= 2 - odd*x
	}
	return x
}
