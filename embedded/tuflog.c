/* tuflog.c: see tuflog.h for what it is for, docs/formats.md for what it reads. */
#include "tuflog.h"

#include <string.h>

/* Where in the sidecar the next byte is. */
enum state {
	LITERAL,   /* in text of which there is one spelling; then comes `next` */
	SECOND,    /* first byte of the second line: extra or index */
	EXTRA,     /* base64 of the leaf */
	INDEX,     /* decimal */
	HASH,      /* lines of the inclusion proof; an empty one ends them */
	TEXT,      /* of the checkpoint; an empty line ends it */
	NAME,      /* of the key of a signature line */
	SIGNATURE, /* base64 of key id and signature */
	LINE       /* where a signature line may begin, or the sidecar end */
};

enum {
	HEAD_ROOM = 40, /* bytes before the text: "cosignature/v1\ntime " and 19 digits and LF */
	MAX_SIGNATURES = 128,
	MAX_LEAF = 4096
};

/* In bytes; an int may have 16 bits. */
#define MAX_SIDECAR ((uint32_t)512 * 1024)
#define MAX_NOTE ((uint32_t)256 * 1024)
#define MAX_METADATA ((uint32_t)32 << 20)

static const char header[] = "c2sp.org/tlog-proof@v1\n";
static const char dash[] = "\xe2\x80\x94 "; /* begins a signature line */

/* Readers of one value. They return -1 for what no value of theirs has. */

static int number_add(struct tuflog_number *n, uint8_t c)
{
	const uint64_t most = INT64_MAX / 10;
	uint8_t digit = (uint8_t)(c - '0');

	if (digit > 9 || (n->digits && !n->value) || n->value > most || (n->value == most && digit > INT64_MAX % 10))
		return -1;
	n->value = n->value * 10 + digit;
	n->digits++;
	return 0;
}

/* Returns how many bytes of out the character completes. */
static int base64_add(struct tuflog_base64 *b, uint8_t c, uint8_t out[3])
{
	uint8_t value = 0;
	int count;

	if (b->padding && (!b->count || c != '='))
		return -1;
	if (c >= 'A' && c <= 'Z')
		value = (uint8_t)(c - 'A');
	else if (c >= 'a' && c <= 'z')
		value = (uint8_t)(c - 'a' + 26);
	else if (c >= '0' && c <= '9')
		value = (uint8_t)(c - '0' + 52);
	else if (c == '+')
		value = 62;
	else if (c == '/')
		value = 63;
	else if (c == '=' && b->count >= 2)
		b->padding++;
	else
		return -1;
	b->bits = b->bits << 6 | value;
	if (++b->count < 4)
		return 0;
	count = 3 - b->padding;
	b->count = 0;
	if (b->padding && (b->bits & (b->padding == 1 ? 0xff : 0xffff)))
		return -1; /* stray bits */
	out[0] = (uint8_t)(b->bits >> 16);
	out[1] = (uint8_t)(b->bits >> 8);
	out[2] = (uint8_t)b->bits;
	return count;
}

/* Returns 1 when the byte completes a character, which is u->rune then. */
static int utf8_add(struct tuflog_utf8 *u, uint8_t c)
{
	if (!u->left) {
		u->rune = c;
		if (c < 0x80)
			return 1;
		if (c < 0xc2 || c > 0xf4)
			return -1;
		u->size = u->left = c < 0xe0 ? 1 : c < 0xf0 ? 2 : 3;
		u->rune = c & (0x3fu >> u->left);
		return 0;
	}
	if ((c & 0xc0) != 0x80)
		return -1;
	u->rune = u->rune << 6 | (c & 0x3f);
	if (--u->left)
		return 0;
	if ((u->size == 2 && (u->rune < 0x800 || (u->rune >= 0xd800 && u->rune < 0xe000))) ||
	    (u->size == 3 && (u->rune < 0x10000 || u->rune > 0x10ffff)))
		return -1;
	return 1;
}

/* White space of Unicode, and what else no name of a key has. */
static int not_in_names(uint32_t r)
{
	return r <= ' ' || r == '+' || r == 0x85 || r == 0xa0 || r == 0x1680 || (r >= 0x2000 && r <= 0x200a) ||
	       r == 0x2028 || r == 0x2029 || r == 0x202f || r == 0x205f || r == 0x3000;
}

/* The leaf: docs/formats.md, "Leaf". It has one spelling, so it is compared while it comes. */

enum piece { /* what in a template is not text */
	KIND = 1, DIGEST, ROLE, NUMBER, SNAPSHOT, LISTED, ENCODING
};

static const char leaf_template[] = "tuflog \1 v1\nrepository \2\nrole \3\nversion \4\npayload sha256:\2\n"
                                    "metadata sha256:\2 \4\nsnapshot \5\nencoding \7";
static const char release_end[] = "\n", evidence_end[] = "\nreason equivocation \4\n";

static int hex_value(uint8_t c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* One of 64 digits of the leaf's digests: repository, payload, metadata, snapshot. */
static int leaf_digest(struct tuflog_leaf *l, const struct tuflog_claim *claim, uint8_t c)
{
	int value = hex_value(c);

	if (value < 0)
		return -1;
	l->any |= (uint8_t)value;
	l->byte = (uint8_t)(l->byte << 4 | value);
	if (l->digits & 1) {
		if (l->digests == 0)
			l->other_repository |= l->byte ^ claim->repository[l->digits / 2];
		else if (l->digests == 1)
			l->other_payload |= l->byte ^ claim->payload[l->digits / 2];
	}
	if (++l->digits < 64)
		return 0;
	if (l->digests == 3 && !l->any)
		return -1; /* no snapshot is spelled "-" */
	l->digests++;
	l->digits = l->any = 0;
	l->next++;
	return 0;
}

static int leaf_role_byte(struct tuflog_leaf *l, uint8_t b)
{
	l->begun = 1;
	if (b && *l->role && (uint8_t)*l->role == b)
		l->role++;
	else
		l->other_role = 1;
	return utf8_add(&l->utf8, b) < 0 ? -1 : 0;
}

static int unreserved(uint8_t c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '.' ||
	       c == '_' || c == '~';
}

static int leaf_role(struct tuflog_leaf *l, uint8_t c)
{
	int value;

	if (!l->escape) {
		if (c == '%') {
			l->escape = 2;
			return 0;
		}
		return unreserved(c) ? leaf_role_byte(l, c) : -1;
	}
	value = c >= 'a' ? -1 : hex_value(c >= 'A' ? (uint8_t)(c + 'a' - 'A') : c);
	if (value < 0)
		return -1;
	l->byte = (uint8_t)(l->byte << 4 | value);
	if (--l->escape)
		return 0;
	return unreserved(l->byte) ? -1 : leaf_role_byte(l, l->byte);
}

/* The leaf's numbers: version, size of the metadata, index of what is contradicted. */
static int leaf_number_end(struct tuflog_leaf *l, const struct tuflog_claim *claim)
{
	static const uint64_t most[] = {((uint64_t)1 << 53) - 1, MAX_METADATA, INT64_MAX};
	uint64_t value = l->number.value;

	if (!l->number.digits || value > most[l->numbers] || (!value && l->numbers < 2))
		return -1;
	if (l->numbers == 0)
		l->other_version = value != claim->version;
	l->numbers++;
	memset(&l->number, 0, sizeof l->number);
	return 0;
}

/* Goes on at one of two words, whose first letters differ, and then at after. */
static int leaf_choose(struct tuflog_leaf *l, uint8_t c, const char *a, const char *b, const char *after)
{
	const char *word = c == (uint8_t)*a ? a : b;

	if (c != (uint8_t)*word)
		return -1;
	l->next = word + 1;
	l->after = after;
	return word == b;
}

static int leaf_add(struct tuflog_leaf *l, const struct tuflog_claim *claim, uint8_t c)
{
	static const char listed[] = "sha256:\2 \6";
	const char *end = strchr(leaf_template, SNAPSHOT) + 1;
	int which;

	if (++l->size > MAX_LEAF)
		return -1;
	for (;;) {
		if (!*l->next && l->after) {
			l->next = l->after;
			l->after = NULL;
		}
		switch (*l->next) {
		case KIND:
			which = leaf_choose(l, c, "release", "evidence", l->next + 1);
			l->evidence = which > 0;
			return which < 0 ? -1 : 0;
		case DIGEST:
			return leaf_digest(l, claim, c);
		case SNAPSHOT:
			return leaf_choose(l, c, "-", listed, end) < 0 ? -1 : 0;
		case LISTED:
			return leaf_choose(l, c, "hash", "version", end) < 0 ? -1 : 0;
		case ENCODING:
			which = leaf_choose(l, c, "json", "pigweed", l->evidence ? evidence_end : release_end);
			l->pigweed = which > 0;
			return which < 0 ? -1 : 0;
		case ROLE:
			if (c != '\n')
				return leaf_role(l, c);
			if (!l->begun || l->escape || l->utf8.left)
				return -1;
			l->other_role |= *l->role != 0;
			l->next++;
			break;
		case NUMBER:
			if (c != '\n' && c != ' ')
				return number_add(&l->number, c);
			if (leaf_number_end(l, claim) < 0)
				return -1;
			l->next++;
			break;
		default:
			return c == (uint8_t)*l->next && c ? (l->next++, 0) : -1;
		}
	}
}

/* The rest of the sidecar. Functions return 0, or why to stop. */

static void line_begin(struct tuflog *v, enum state state)
{
	v->state = (uint8_t)state;
	v->at = 0;
	memset(&v->base64, 0, sizeof v->base64);
	memset(&v->number, 0, sizeof v->number);
}

static void expect(struct tuflog *v, const char *literal, enum state next)
{
	v->literal = literal;
	v->state = LITERAL;
	v->next = (uint8_t)next;
}

static int sha256_begin(struct tuflog *v)
{
	v->hashing = 1;
	return v->crypto->sha256_begin(v->crypto->sha256) ? TUFLOG_MISUSE : 0;
}

static int sha256_add(const struct tuflog *v, const void *bytes, size_t count)
{
	return v->crypto->sha256_add(v->crypto->sha256, bytes, count) ? TUFLOG_MISUSE : 0;
}

static int sha256_end(struct tuflog *v, uint8_t digest[32])
{
	v->hashing = 0;
	return v->crypto->sha256_end(v->crypto->sha256, digest) ? TUFLOG_MISUSE : 0;
}

/* The extra data is the leaf, unless the claim is about an entry. */
static int extra(struct tuflog *v, uint8_t c)
{
	uint8_t out[3];
	int count, i, err = 0;

	if (c == '\n') {
		if (!v->at || v->base64.count)
			return TUFLOG_MALFORMED;
		if (*v->leaf.next || v->leaf.after)
			v->leaf.malformed = 1;
		if (!v->claim->leaf)
			err = sha256_end(v, v->leaf_hash);
		expect(v, "index ", INDEX);
		return err;
	}
	count = base64_add(&v->base64, c, out);
	if (count < 0)
		return TUFLOG_MALFORMED;
	v->at = 1;
	if (v->claim->leaf || !count)
		return 0;
	for (i = 0; i < count && !v->leaf.malformed; i++)
		v->leaf.malformed = leaf_add(&v->leaf, v->claim, out[i]) < 0;
	return sha256_add(v, out, (size_t)count);
}

static int hash(struct tuflog *v, uint8_t c)
{
	uint8_t out[3];
	int count, i;

	if (c == '\n') {
		if (!v->at && !v->base64.count) {
			line_begin(v, TEXT);
			return 0;
		}
		if (v->at != 32 || v->base64.count)
			return TUFLOG_MALFORMED;
		v->hash_count++;
		line_begin(v, HASH);
		return 0;
	}
	if (v->hash_count == TUFLOG_MAX_HASHES)
		return TUFLOG_LIMIT;
	count = base64_add(&v->base64, c, out);
	if (count < 0 || v->at + count > 32)
		return TUFLOG_MALFORMED;
	for (i = 0; i < count; i++)
		v->hashes[v->hash_count][v->at++] = out[i];
	return 0;
}

/* What signatures cover is valid UTF-8 without control characters; so are their lines. */
static int note_byte(struct tuflog *v, uint8_t c)
{
	if ((c < 0x20 && c != '\n') || utf8_add(&v->utf8, c) < 0)
		return TUFLOG_MALFORMED;
	return 0;
}

/* The end of one of the lines of a checkpoint's text. */
static int text_line(struct tuflog *v)
{
	uint16_t i;

	switch (v->text_line) {
	case 0:
		v->origin_size = (uint16_t)(v->text_size - 1);
		for (i = 0; i < v->policy->logs; i++)
			if (strlen(v->policy->keys[i].name) == v->origin_size &&
			    !memcmp(v->policy->keys[i].name, v->text + HEAD_ROOM, v->origin_size))
				v->named |= (uint16_t)(1u << i);
		break;
	case 1:
		if (!v->number.digits)
			return TUFLOG_MALFORMED;
		v->size = v->number.value;
		if (v->size > (uint64_t)1 << TUFLOG_MAX_HASHES)
			return TUFLOG_LIMIT;
		break;
	case 2:
		if (v->at != 32 || v->base64.count)
			return TUFLOG_MALFORMED;
		break;
	default:
		break;
	}
	if (v->text_line < 3)
		v->text_line++;
	line_begin(v, TEXT);
	return 0;
}

static int text(struct tuflog *v, uint8_t c)
{
	uint8_t out[3];
	int count, i;
	int empty = !v->text_size || v->text[HEAD_ROOM + v->text_size - 1] == '\n';

	if (c == '\n' && empty) {
		if (v->text_line < 3)
			return TUFLOG_MALFORMED;
		expect(v, dash, NAME);
		v->state = LINE;
		return 0;
	}
	if (v->text_size == TUFLOG_MAX_TEXT)
		return TUFLOG_LIMIT;
	v->text[HEAD_ROOM + v->text_size++] = c;
	if (c == '\n')
		return text_line(v);
	if (v->text_line == 1)
		return number_add(&v->number, c) < 0 ? TUFLOG_MALFORMED : 0;
	if (v->text_line != 2)
		return 0;
	count = base64_add(&v->base64, c, out);
	if (count < 0 || v->at + count > 32)
		return TUFLOG_MALFORMED;
	for (i = 0; i < count; i++)
		v->root[v->at++] = out[i];
	return 0;
}

/* Leaves in the mask the keys whose name goes on like this. */
static int name(struct tuflog *v, uint8_t c)
{
	uint16_t i;

	if (c == ' ') {
		if (!v->at)
			return TUFLOG_MALFORMED;
		for (i = 0; i < TUFLOG_MAX_KEYS; i++)
			if (v->mask >> i & 1 && v->policy->keys[i].name[v->at])
				v->mask &= (uint16_t)~(1u << i);
		line_begin(v, SIGNATURE);
		return 0;
	}
	if (!v->utf8.left && not_in_names(v->utf8.rune))
		return TUFLOG_MALFORMED;
	/* A key stays in the mask while its name is long enough, so that no name is read behind its end. */
	for (i = 0; i < TUFLOG_MAX_KEYS; i++)
		if (v->mask >> i & 1 && (uint8_t)v->policy->keys[i].name[v->at] != c)
			v->mask &= (uint16_t)~(1u << i);
	if (v->at < UINT16_MAX)
		v->at++;
	return 0;
}

/* Writes a number so that it ends before end, and returns where it begins. */
static uint8_t *decimal(uint8_t *end, uint64_t n)
{
	uint32_t parts[4], rest;
	int i;

	for (i = 0; i < 4; i++)
		parts[i] = (uint32_t)(n >> (48 - 16 * i)) & 0xffff;
	do { /* long division by 10, in pieces that need no help of a library */
		rest = 0;
		for (i = 0; i < 4; i++) {
			parts[i] |= rest << 16;
			rest = parts[i] % 10;
			parts[i] /= 10;
		}
		*--end = (uint8_t)('0' + rest);
	} while (parts[0] | parts[1] | parts[2] | parts[3]);
	return end;
}

/* Verifies the signature of a line by a key of the policy. */
static int verify(struct tuflog *v, uint16_t i)
{
	static const char head[] = "cosignature/v1\ntime ";
	uint8_t *message = v->text + HEAD_ROOM;
	const uint8_t *signature = v->signature;
	int log = i < v->policy->logs, valid;
	uint64_t time = 0;
	uint16_t k;

	if (v->checks++ == TUFLOG_MAX_CHECKS)
		return TUFLOG_LIMIT;
	valid = v->at - 4 == (log ? 64 : 72) && (log || !(signature[0] & 0x80));
	if (valid && !log) {
		for (k = 0; k < 8; k++)
			time = time << 8 | *signature++;
		*--message = '\n';
		message = decimal(message, time) - (sizeof head - 1);
		memcpy(message, head, sizeof head - 1);
	}
	valid = valid && !v->crypto->ed25519(v->policy->keys[i].key, signature, message,
	                                     (size_t)(v->text + HEAD_ROOM + v->text_size - message));
	if (valid)
		v->cosigned |= (uint16_t)(1u << i);
	else if (log)
		v->bad_log = 1;
	else
		v->bad_witness = 1;
	return 0;
}

static int signature(struct tuflog *v, uint8_t c)
{
	uint8_t out[3];
	int count, k, err = 0;
	uint16_t i;

	if (c == '\n') {
		if (v->at < 5 || v->base64.count || v->signatures++ == MAX_SIGNATURES)
			return TUFLOG_MALFORMED;
		for (i = 0; i < TUFLOG_MAX_KEYS && !err; i++)
			if (v->mask >> i & 1)
				err = verify(v, i);
		expect(v, dash, NAME);
		v->state = LINE;
		return err;
	}
	count = base64_add(&v->base64, c, out);
	if (count < 0)
		return TUFLOG_MALFORMED;
	for (k = 0; k < count; k++) {
		for (i = 0; v->at < 4 && i < TUFLOG_MAX_KEYS; i++)
			if (v->mask >> i & 1 && (uint8_t)(v->policy->keys[i].id >> (24 - 8 * v->at)) != out[k])
				v->mask &= (uint16_t)~(1u << i);
		if (v->at >= 4 && v->at < 4 + sizeof v->signature)
			v->signature[v->at - 4] = out[k];
		if (v->at < UINT16_MAX)
			v->at++;
	}
	return 0;
}

static int step(struct tuflog *v, uint8_t c)
{
	int err = 0;

	if (v->total++ == MAX_SIDECAR)
		return TUFLOG_MALFORMED;
	if (v->state >= TEXT || (v->state == LITERAL && v->next == NAME)) {
		if (v->note_size++ == MAX_NOTE)
			return TUFLOG_MALFORMED;
		err = note_byte(v, c);
		if (err)
			return err;
	}
	switch (v->state) {
	case LINE:
		v->mask = (uint16_t)((1ul << (v->policy->logs + v->policy->witnesses)) - 1);
		v->state = LITERAL;
		/* fall through */
	case LITERAL:
		if (c != (uint8_t)*v->literal)
			return TUFLOG_MALFORMED;
		if (!*++v->literal)
			line_begin(v, (enum state)v->next);
		return 0;
	case SECOND:
		if (c == 'i') {
			v->leaf.malformed = 1; /* none */
			expect(v, "ndex ", INDEX);
			return 0;
		}
		if (c != 'e')
			return TUFLOG_MALFORMED;
		expect(v, "xtra ", EXTRA);
		if (!v->claim->leaf) {
			err = sha256_begin(v);
			if (!err)
				err = sha256_add(v, "\0", 1);
		}
		return err;
	case EXTRA:
		return extra(v, c);
	case INDEX:
		if (c != '\n')
			return number_add(&v->number, c) < 0 ? TUFLOG_MALFORMED : 0;
		if (!v->number.digits)
			return TUFLOG_MALFORMED;
		v->index = v->number.value;
		line_begin(v, HASH);
		return 0;
	case HASH:
		return hash(v, c);
	case TEXT:
		return text(v, c);
	case NAME:
		return name(v, c);
	case SIGNATURE:
		return signature(v, c);
	default:
		return TUFLOG_MISUSE;
	}
}

/* RFC 6962, section 2.1: leads the leaf's hash to the root. */
static int included(struct tuflog *v, const uint8_t *leaf)
{
	uint64_t at = v->index, last = v->size - 1;
	uint8_t root[32];
	uint8_t i;
	int err = 0, left;

	if (v->index >= v->size)
		return TUFLOG_NOT_INCLUDED;
	memcpy(root, leaf, 32);
	for (i = 0; i < v->hash_count && !err; i++) {
		if (!last)
			return TUFLOG_NOT_INCLUDED;
		left = at & 1 || at == last; /* the hash is of the tree to the left */
		while (left && !(at & 1)) {
			at >>= 1;
			last >>= 1;
		}
		err = sha256_begin(v);
		err = err ? err : sha256_add(v, "\1", 1);
		err = err ? err : sha256_add(v, left ? v->hashes[i] : root, 32);
		err = err ? err : sha256_add(v, left ? root : v->hashes[i], 32);
		err = err ? err : sha256_end(v, root);
		at >>= 1;
		last >>= 1;
	}
	if (err)
		return err;
	return last || memcmp(root, v->root, 32) ? TUFLOG_NOT_INCLUDED : 0;
}

static int count_bits(uint16_t bits)
{
	int n = 0;

	for (; bits; bits &= (uint16_t)(bits - 1))
		n++;
	return n;
}

/* Groups stand behind their members. */
static int quorum(const struct tuflog *v)
{
	const struct tuflog_policy *p = v->policy;
	uint16_t witnesses = (uint16_t)(v->cosigned & ~((1ul << p->logs) - 1));
	uint16_t met = 0;
	uint8_t i;

	for (i = 0; i < p->group_count; i++) {
		const struct tuflog_group *g = &p->groups[i];
		if (count_bits(g->keys & witnesses) + count_bits(g->groups & met) >= g->want)
			met |= (uint16_t)(1u << i);
	}
	return p->group_count && met >> (p->group_count - 1) & 1 ? 0 : TUFLOG_TOO_FEW;
}

/* A tree of no entries has one root. */
static int empty_root(struct tuflog *v)
{
	uint8_t root[32];
	int err = sha256_begin(v);

	err = err ? err : sha256_end(v, root);
	return err ? err : memcmp(root, v->root, 32) ? TUFLOG_MALFORMED : 0;
}

/* The order is that of docs/refusals.md and of the test vectors. */
static int judge(struct tuflog *v)
{
	const struct tuflog_leaf *l = &v->leaf;
	const uint8_t *leaf = v->claim->leaf;
	int err;

	if (!v->total)
		return TUFLOG_EMPTY;
	if (v->state != LINE || !v->signatures)
		return TUFLOG_MALFORMED;
	if (!v->size && (err = empty_root(v)) != 0)
		return err;
	if (!leaf && l->malformed)
		return TUFLOG_MALFORMED_LEAF;
	if (v->bad_log)
		return TUFLOG_BAD_SIGNATURE;
	if (!(v->cosigned & v->named))
		return TUFLOG_UNKNOWN_LOG;
	if (v->bad_witness)
		return TUFLOG_BAD_SIGNATURE;
	err = included(v, leaf ? leaf : v->leaf_hash);
	if (!err)
		err = quorum(v);
	if (err || leaf)
		return err;
	if (l->other_repository)
		return TUFLOG_OTHER_REPOSITORY;
	if (l->other_role)
		return TUFLOG_OTHER_ROLE;
	if (l->other_version)
		return TUFLOG_OTHER_VERSION;
	if (l->other_payload)
		return TUFLOG_OTHER_PAYLOAD;
	if (l->pigweed != !!v->claim->pigweed)
		return TUFLOG_OTHER_ENCODING;
	return l->evidence ? TUFLOG_IS_EVIDENCE : 0;
}

static int usable(const struct tuflog_policy *p, const struct tuflog_claim *claim, const struct tuflog_crypto *crypto)
{
	return p && claim && crypto && p->logs + p->witnesses <= TUFLOG_MAX_KEYS && p->group_count <= TUFLOG_MAX_GROUPS &&
	       (p->keys || !(p->logs + p->witnesses)) && (p->groups || !p->group_count) && (claim->leaf || claim->role);
}

void tuflog_begin(struct tuflog *v, const struct tuflog_policy *policy, const struct tuflog_claim *claim,
                  const struct tuflog_crypto *crypto)
{
	memset(v, 0, sizeof *v);
	v->line = 1;
	if (!usable(policy, claim, crypto)) {
		v->reason = TUFLOG_MISUSE;
		return;
	}
	v->policy = policy;
	v->claim = claim;
	v->crypto = crypto;
	v->leaf.next = leaf_template;
	v->leaf.role = claim->role;
	expect(v, header, SECOND);
}

void tuflog_feed(struct tuflog *v, const void *bytes, size_t count)
{
	const uint8_t *b = bytes;
	size_t i;

	if (!v->policy)
		v->reason = TUFLOG_MISUSE; /* not begun, or with nothing that can be used */
	for (i = 0; i < count && !v->reason; i++) {
		v->reason = (enum tuflog_reason)step(v, b[i]);
		if (!v->reason && b[i] == '\n')
			v->line++;
	}
}

enum tuflog_code tuflog_end(struct tuflog *v)
{
	if (!v->policy)
		v->reason = TUFLOG_MISUSE;
	if (!v->reason)
		v->reason = (enum tuflog_reason)judge(v);
	if (v->hashing) /* of a leaf that was cut short: an engine may be held by it */
		sha256_end(v, v->leaf_hash);
	switch (v->reason) {
	case TUFLOG_FINE:
		return TUFLOG_OK;
	case TUFLOG_EMPTY:
		return TUFLOG_NOT_LOGGED;
	case TUFLOG_UNKNOWN_LOG:
		return TUFLOG_WRONG_LOG;
	case TUFLOG_TOO_FEW:
		return TUFLOG_QUORUM_SHORT;
	case TUFLOG_OTHER_REPOSITORY:
		return TUFLOG_WRONG_REPOSITORY;
	case TUFLOG_IS_EVIDENCE:
		return TUFLOG_EVIDENCE;
	case TUFLOG_LIMIT:
		return TUFLOG_TOO_LARGE;
	case TUFLOG_MISUSE:
		return TUFLOG_BROKEN;
	default:
		return TUFLOG_BAD_PROOF;
	}
}

const char *tuflog_code_name(enum tuflog_code code)
{
	static const char *const names[] = {"ok",       "not-logged",   "bad-proof", "wrong-log", "wrong-repository",
	                                    "evidence", "quorum-short", "too-large", "broken"};

	return (unsigned)code < sizeof names / sizeof *names ? names[code] : "broken";
}
