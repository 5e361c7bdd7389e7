/*
 * tuflog.h: checks, offline and in constant memory, that a release of update
 * metadata is logged and witnessed.
 *
 *     static struct tuflog v;   (2.3 KB)
 *
 *     tuflog_begin(&v, &policy, &claim, &crypto);
 *     while (!v.reason && (n = read_some(buffer)) > 0)
 *             tuflog_feed(&v, buffer, n);
 *     if (tuflog_end(&v) != TUFLOG_OK)
 *             refuse to install;
 *
 * The bytes fed are those of a sidecar, the file `*.tlog-proof` beside the
 * metadata, in pieces of any size. The policy says whom to trust: make it with
 * `updater policy compile`. The claim says what must be logged. SHA-256 and
 * Ed25519 are the device's own. There is no heap, no input or output, and of
 * the C library only string.h.
 *
 * docs/formats.md has the format of a sidecar, docs/refusals.md what to do
 * about each code. What does not fit the limits below is TUFLOG_TOO_LARGE; it
 * is never taken for valid, and never for an attack.
 */
#ifndef TUFLOG_H
#define TUFLOG_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#ifndef TUFLOG_MAX_HASHES
#define TUFLOG_MAX_HASHES 40 /* of an inclusion proof: trees of up to 2^40 entries */
#endif
#ifndef TUFLOG_MAX_TEXT
#define TUFLOG_MAX_TEXT 512 /* bytes of a checkpoint's text, without signatures */
#endif
#if TUFLOG_MAX_HASHES < 1 || TUFLOG_MAX_HASHES > 63 || TUFLOG_MAX_TEXT < 1 || TUFLOG_MAX_TEXT > 32767
#error "want TUFLOG_MAX_HASHES of 1 to 63, TUFLOG_MAX_TEXT of 1 to 32767"
#endif
#define TUFLOG_MAX_KEYS 16    /* keys of a policy */
#define TUFLOG_MAX_GROUPS 16  /* groups of a policy */
#define TUFLOG_MAX_CHECKS 32  /* signatures verified for one sidecar */

/* What a sidecar shows. All but the first mean: do not install. */
enum tuflog_code {
	TUFLOG_OK = 0,
	TUFLOG_NOT_LOGGED,       /* nothing was fed: there is no proof */
	TUFLOG_BAD_PROOF,        /* cannot be read, does not verify, or is about another release */
	TUFLOG_WRONG_LOG,        /* no log of the policy has signed */
	TUFLOG_WRONG_REPOSITORY, /* a release of another repository */
	TUFLOG_EVIDENCE,         /* logged as evidence against a release, not as one */
	TUFLOG_QUORUM_SHORT,     /* too few witnesses have cosigned */
	TUFLOG_TOO_LARGE,        /* beyond the limits of this build: judge it elsewhere */
	TUFLOG_BROKEN            /* not the sidecar's fault: the policy, the claim, or SHA-256 failed */
};

/* Why, for people and for tests. */
enum tuflog_reason {
	TUFLOG_FINE = 0,
	TUFLOG_EMPTY,
	TUFLOG_MALFORMED,       /* not of the form of a tlog-proof; tuflog.line says where */
	TUFLOG_MALFORMED_LEAF,  /* the proof's extra data are not a leaf of this log */
	TUFLOG_BAD_SIGNATURE,   /* a signature of a known key does not verify */
	TUFLOG_UNKNOWN_LOG,
	TUFLOG_NOT_INCLUDED,    /* the hashes do not lead from the leaf to the root */
	TUFLOG_TOO_FEW,         /* cosignatures */
	TUFLOG_OTHER_REPOSITORY,
	TUFLOG_OTHER_ROLE,
	TUFLOG_OTHER_VERSION,
	TUFLOG_OTHER_PAYLOAD,
	TUFLOG_OTHER_ENCODING,
	TUFLOG_IS_EVIDENCE,
	TUFLOG_LIMIT,           /* one of the limits above */
	TUFLOG_MISUSE           /* the policy, the claim, or SHA-256 failed */
};

/* A key of a log (Ed25519, type 01) or of a witness (cosignature/v1, type 04). */
struct tuflog_key {
	const char *name; /* at most 255 bytes, not empty */
	uint32_t id;
	uint8_t key[32];
};

/* A group counts as one witness when `want` of its members do. */
struct tuflog_group {
	uint16_t keys;   /* bit i: keys[i] of the policy, which is a witness */
	uint16_t groups; /* bit i: groups[i], one that stands before this one */
	uint8_t want;
};

/* Whom to trust. `updater policy compile` writes it. */
struct tuflog_policy {
	const struct tuflog_key *keys; /* first those of logs, then those of witnesses */
	const struct tuflog_group *groups;
	uint8_t logs, witnesses; /* how many keys of each; together at most TUFLOG_MAX_KEYS */
	uint8_t group_count;     /* the last one is the quorum; 0: nothing is accepted */
};

/* What must be logged: a release, or, with `leaf`, the entry with that hash. */
struct tuflog_claim {
	uint8_t repository[32]; /* SHA-256 of the payload of the repository's first root */
	const char *role;       /* "root", "targets", or the name of a delegated role */
	uint64_t version;       /* 1 to 2^53-1 */
	uint8_t payload[32];    /* SHA-256 of the bytes that the metadata's signatures cover */
	uint8_t pigweed;        /* 0: JSON; 1: a Pigweed bundle's protobuf */
	const uint8_t *leaf;    /* if not NULL: 32 bytes, and the rest of the claim is ignored */
};

/*
 * The device's cryptography. Functions return 0 for success, or for valid. Each hash that was
 * begun is ended, at the latest by tuflog_end, also if begin or add have failed: the end is where
 * an engine is given back.
 */
struct tuflog_crypto {
	int (*sha256_begin)(void *context);
	int (*sha256_add)(void *context, const uint8_t *bytes, size_t count);
	int (*sha256_end)(void *context, uint8_t digest[32]);
	void *sha256; /* their context; one hash at a time is computed */
	int (*ed25519)(const uint8_t key[32], const uint8_t signature[64], const uint8_t *message, size_t count);
};

/* Private: readers of one value, fed byte by byte. */
struct tuflog_number {
	uint64_t value;
	uint8_t digits;
};
struct tuflog_base64 {
	uint32_t bits;
	uint8_t count, padding;
};
struct tuflog_utf8 {
	uint32_t rune;
	uint8_t left, size;
};
struct tuflog_leaf {
	const char *next, *after; /* of the template that the leaf follows */
	const char *role;         /* what is left of the claim's role */
	struct tuflog_number number;
	struct tuflog_utf8 utf8;
	uint16_t size;
	uint8_t digests, numbers, digits, byte, any, escape, begun, evidence, pigweed, malformed;
	uint8_t other_repository, other_role, other_version, other_payload;
};

/*
 * One check. Read the first members after tuflog_end; the others are its own. Of them, reason is
 * set as soon as the sidecar is refused, at the latest behind 512 KB: what comes then changes
 * nothing, and need not be read.
 */
struct tuflog {
	enum tuflog_reason reason;
	uint32_t line;   /* of a malformed sidecar, from 1 */
	uint64_t index;  /* of the entry in the log */
	uint64_t size;   /* of the tree: remember it with the root, to notice a fork */
	uint8_t root[32];
	uint16_t cosigned; /* bit i: keys[i] of the policy has signed, and it was valid */

	/* private */
	const struct tuflog_policy *policy;
	const struct tuflog_claim *claim;
	const struct tuflog_crypto *crypto;
	const char *literal; /* what must come next */
	uint32_t total, note_size;
	struct tuflog_number number;
	struct tuflog_base64 base64;
	struct tuflog_utf8 utf8;
	struct tuflog_leaf leaf;
	uint16_t mask; /* of the keys that a signature line may be by */
	uint16_t at;   /* bytes or characters so far of a name, a hash, a signature */
	uint16_t text_size, origin_size, named;
	uint8_t state, next, hash_count, text_line, signatures, checks, bad_log, bad_witness, hashing;
	uint8_t leaf_hash[32], signature[72];
	uint8_t hashes[TUFLOG_MAX_HASHES][32];
	uint8_t text[40 + TUFLOG_MAX_TEXT]; /* behind room for the head of a cosignature's message */
};

void tuflog_begin(struct tuflog *v, const struct tuflog_policy *policy, const struct tuflog_claim *claim,
                  const struct tuflog_crypto *crypto);
/* Takes the next bytes. It may be called on after a refusal. */
void tuflog_feed(struct tuflog *v, const void *bytes, size_t count);
/* Says what all of it shows. */
enum tuflog_code tuflog_end(struct tuflog *v);

/* The name of a code in docs/refusals.md, such as "bad-proof". */
const char *tuflog_code_name(enum tuflog_code code);

#ifdef __cplusplus
}
#endif
#endif
