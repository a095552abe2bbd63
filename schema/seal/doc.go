// Package seal keeps the credentials and personal data in messages of mewsbridge from everyone but the holder of a private
// key. The bridge seals with the public key alone; a consumer opens with an Opener.
//
// In the data of an integration event the members AccessToken, ApiKey and Requestor, at any depth and in any case,
// are taken out of their object and replaced by one member, Sealed, at its end. Members that are null stay. Every other byte
// stays as it is. A quarantined message, of which nobody can say what is in it, is sealed whole: its payload becomes
// {"SealedBody":"…"}.
//
// The value of either is a string of three parts with dots between: the public key it is sealed to, a public key of the sender
// that was made for this one box, and the box in base64. The keys are curve keys of NATS nkeys (X…) and the box is
// what these seal: the four bytes xkv1, a nonce of 24 bytes, and a NaCl box (X25519, XSalsa20, Poly1305). It holds the
// members as a JSON object or, in SealedBody, the payload's own bytes. A box says nothing about who made it: the
// sender's key proves no identity.
package seal
