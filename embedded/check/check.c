/*
 * check.c: runs the cases that embedded/vectors writes.
 *
 *     check FILE [RAM]   runs all cases of the file, in pieces of several sizes; says which fail,
 *                        and how much memory it took, which must not be more than RAM bytes
 *     check -            reads cases from standard input, answers each with two bytes: code, reason
 *
 * The form of a case stands in embedded/cases. It is made by our own program, so it is only
 * guarded against being cut short.
 */
#include "../tuflog.h"
#include "crypto.h"
#include "program.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct record {
	const uint8_t *at, *end;
};

static const uint8_t *take(struct record *r, size_t count)
{
	const uint8_t *p = r->at;

	if ((size_t)(r->end - p) < count) {
		fprintf(stderr, "check: a case is cut short\n");
		exit(2);
	}
	r->at += count;
	return p;
}

static uint64_t number(struct record *r, size_t bytes)
{
	const uint8_t *p = take(r, bytes);
	uint64_t n = 0;

	while (bytes--)
		n = n << 8 | p[bytes];
	return n;
}

struct test {
	char name[256];
	uint8_t code, reason, may_be_large;
	struct tuflog_key keys[TUFLOG_MAX_KEYS];
	struct tuflog_group groups[TUFLOG_MAX_GROUPS];
	struct tuflog_policy policy;
	struct tuflog_claim claim;
	const uint8_t *sidecar;
	size_t size;
	uint64_t index, tree; /* what v must show after TUFLOG_OK */
	const uint8_t *root;
	uint16_t cosigned;
};

enum { SHOWS_OTHER = 255 }; /* a reason: the verdict is right, but v shows another entry or tree */

static void read_test(struct test *t, struct record *r)
{
	size_t length, i;

	memset(t, 0, sizeof *t);
	length = (size_t)number(r, 1);
	memcpy(t->name, take(r, length), length);
	t->code = (uint8_t)number(r, 1);
	t->reason = (uint8_t)number(r, 1);
	t->may_be_large = (uint8_t)number(r, 1);
	t->policy.keys = t->keys;
	t->policy.groups = t->groups;
	t->policy.logs = (uint8_t)number(r, 1);
	t->policy.witnesses = (uint8_t)number(r, 1);
	t->policy.group_count = (uint8_t)number(r, 1);
	for (i = 0; i < (size_t)t->policy.logs + t->policy.witnesses; i++) {
		length = (size_t)number(r, 1);
		t->keys[i].name = (const char *)take(r, length + 1);
		t->keys[i].id = (uint32_t)number(r, 4);
		memcpy(t->keys[i].key, take(r, 32), 32);
	}
	for (i = 0; i < t->policy.group_count; i++) {
		t->groups[i].keys = (uint16_t)number(r, 2);
		t->groups[i].groups = (uint16_t)number(r, 2);
		t->groups[i].want = (uint8_t)number(r, 1);
	}
	if (number(r, 1)) {
		t->claim.leaf = take(r, 32);
	} else {
		memcpy(t->claim.repository, take(r, 32), 32);
		length = (size_t)number(r, 2);
		t->claim.role = (const char *)take(r, length + 1);
		t->claim.version = number(r, 8);
		memcpy(t->claim.payload, take(r, 32), 32);
		t->claim.pigweed = (uint8_t)number(r, 1);
	}
	t->size = (size_t)number(r, 4);
	t->sidecar = take(r, t->size);
	t->index = number(r, 8);
	t->tree = number(r, 8);
	t->root = take(r, 32);
	t->cosigned = (uint16_t)number(r, 2);
}

static struct tuflog v;

static enum tuflog_code judge(const struct test *t, size_t piece, int *reason)
{
	enum tuflog_code code;
	size_t at, count;

	memset(&v, 0xa5, sizeof v); /* what a variable on the stack may hold */
	tuflog_begin(&v, &t->policy, &t->claim, &watched);
	for (at = 0; at < t->size; at += count) {
		uint8_t *copy; /* of its own, so that a sanitizer sees what is read behind it */
		count = t->size - at < piece ? t->size - at : piece;
		copy = malloc(count);
		if (!copy)
			exit(2);
		memcpy(copy, t->sidecar + at, count);
		tuflog_feed(&v, copy, count);
		free(copy);
	}
	code = tuflog_end(&v);
	*reason = v.reason;
	if (code == TUFLOG_OK && t->code == TUFLOG_OK &&
	    (v.index != t->index || v.size != t->tree || memcmp(v.root, t->root, 32) || v.cosigned != t->cosigned))
		*reason = SHOWS_OTHER;
	if (watched_wrong()) {
		fprintf(stderr, "check: %s: hashes are not begun and ended in turn\n", t->name);
		exit(2);
	}
	return code;
}

#ifdef __arm__
/*
 * How much stack the verifier itself takes: everything below is painted, it runs with
 * cryptography that takes next to none and believes all, and then the paint is looked at.
 */
enum { PAINT = 0xa5, PAINTED = 8192 };

static int nothing(void *c)
{
	(void)c;
	return 0;
}

static int add_nothing(void *c, const uint8_t *bytes, size_t count)
{
	(void)c, (void)bytes, (void)count;
	return 0;
}

static int end_nothing(void *c, uint8_t digest[32])
{
	(void)c, (void)digest;
	return 0;
}

static int believe(const uint8_t key[32], const uint8_t signature[64], const uint8_t *message, size_t count)
{
	(void)key, (void)signature, (void)message, (void)count;
	return 0;
}

__attribute__((noinline)) static size_t stack_of(const struct test *t)
{
	static const struct tuflog_crypto none = {nothing, add_nothing, end_nothing, NULL, believe};
	register uint8_t *sp __asm__("sp");
	uint8_t *top = sp, *p;

	for (p = top - PAINTED; p < top - 64; p++) /* not what this loop itself stands on */
		*(volatile uint8_t *)p = PAINT;
	tuflog_begin(&v, &t->policy, &t->claim, &none);
	tuflog_feed(&v, t->sidecar, t->size);
	tuflog_end(&v);
	for (p = top - PAINTED; p < top && *(volatile uint8_t *)p == PAINT; p++)
		;
	return (size_t)(top - p);
}
#else
static size_t stack_of(const struct test *t)
{
	(void)t;
	return 0;
}
#endif

static int run_file(const char *name, size_t ram)
{
#ifdef __arm__
	static const size_t pieces[] = {61}; /* an emulated processor verifies slowly */
#else
	static const size_t pieces[] = {1 << 20, 61, 1};
#endif
	FILE *f = fopen(name, "rb");
	size_t i;
	size_t stack = 0, taken;
	unsigned cases = 0, failed = 0;
	int mistakes = 0; /* were tried */
	uint8_t head[4];

	if (!f) {
		fprintf(stderr, "check: cannot open %s\n", name);
		return 2;
	}
	while (fread(head, 1, 4, f) == 4) {
		struct test t;
		struct record r;
		size_t size = (size_t)head[0] | (size_t)head[1] << 8 | (size_t)head[2] << 16 | (size_t)head[3] << 24;
		uint8_t *buffer = malloc(size);
		int wrong = 0;
		if (!buffer || fread(buffer, 1, size, f) != size) {
			fprintf(stderr, "check: %s is cut short\n", name);
			return 2;
		}
		r.at = buffer;
		r.end = buffer + size;
		read_test(&t, &r);
		for (i = 0; i < sizeof pieces / sizeof *pieces && !wrong; i++) {
			int reason;
			enum tuflog_code code = judge(&t, pieces[i], &reason);
			if (code == (enum tuflog_code)t.code && reason == t.reason)
				continue;
			if (t.may_be_large && code == TUFLOG_TOO_LARGE)
				continue;
			printf("FAIL %s: %s (reason %d), want %s (reason %d)\n", t.name, tuflog_code_name(code), reason,
			       tuflog_code_name((enum tuflog_code)t.code), (int)t.reason);
			wrong = 1;
		}
		cases++;
		failed += (unsigned)wrong;
		if (!mistakes && t.code == TUFLOG_OK && !t.claim.leaf) {
			mistakes = 1;
			failed += program_mistakes(&t.policy, &t.claim, t.sidecar, t.size);
		}
		taken = stack_of(&t);
		if (taken > stack)
			stack = taken;
		free(buffer);
	}
	fclose(f);
	printf("%u cases, %u failed\n", cases, failed);
	if (ram) {
		printf("memory: %u bytes and %u of stack without cryptography, together at most %u\n", (unsigned)sizeof v,
		       (unsigned)stack, (unsigned)ram);
		failed += sizeof v + stack > ram;
	}
	return failed || !cases || !mistakes ? 1 : 0;
}

static int serve(void)
{
	uint8_t head[4];

	while (fread(head, 1, 4, stdin) == 4) {
		struct test t;
		struct record r;
		int reason;
		size_t size = (size_t)head[0] | (size_t)head[1] << 8 | (size_t)head[2] << 16 | (size_t)head[3] << 24;
		uint8_t *buffer = malloc(size);
		if (!buffer || fread(buffer, 1, size, stdin) != size)
			return 2;
		r.at = buffer;
		r.end = buffer + size;
		read_test(&t, &r);
		putchar((int)judge(&t, 1 + size % 97, &reason));
		putchar(reason);
		if (fflush(stdout))
			return 2;
		free(buffer);
	}
	return 0;
}

int main(int argc, char **argv)
{
	if (crypto_start())
		return 2;
	if (argc == 2 && !strcmp(argv[1], "-"))
		return serve();
	if (argc == 2 || argc == 3)
		return run_file(argv[1], argc == 3 ? (size_t)strtoul(argv[2], NULL, 10) : 0);
	fprintf(stderr, "usage: check FILE [RAM] | check -\n");
	return 2;
}
