/* program.c: see program.h. */
#include "program.h"
#include "crypto.h"

#include <stdio.h>
#include <string.h>

static int hashing, wrong;
static long calls, fails_at = -1; /* which call fails, from 0 */

static int call(void)
{
	return calls++ == fails_at;
}

static int begin(void *c)
{
	wrong |= hashing;
	hashing = 1;
	(void)c;
	return crypto.sha256_begin(crypto.sha256) || call();
}

static int add(void *c, const uint8_t *b, size_t count)
{
	wrong |= !hashing;
	(void)c;
	return crypto.sha256_add(crypto.sha256, b, count) || call();
}

static int end(void *c, uint8_t digest[32])
{
	wrong |= !hashing;
	hashing = 0;
	(void)c;
	return crypto.sha256_end(crypto.sha256, digest) || call();
}

static int ed25519(const uint8_t key[32], const uint8_t signature[64], const uint8_t *message, size_t count)
{
	return crypto.ed25519(key, signature, message, count);
}

static int doubt(const uint8_t key[32], const uint8_t signature[64], const uint8_t *message, size_t count)
{
	(void)key, (void)signature, (void)message, (void)count;
	return -1;
}

const struct tuflog_crypto watched = {begin, add, end, NULL, ed25519};

int watched_wrong(void)
{
	int was = wrong | hashing;

	wrong = hashing = 0;
	return was;
}

static struct tuflog v;
static const uint8_t *bytes;
static size_t byte_count;

static unsigned expect(const char *what, enum tuflog_code got, enum tuflog_code want)
{
	if (watched_wrong()) {
		printf("FAIL %s: hashes are not begun and ended in turn\n", what);
		return 1;
	}
	if (got == want)
		return 0;
	printf("FAIL %s: %s, want %s\n", what, tuflog_code_name(got), tuflog_code_name(want));
	return 1;
}

static enum tuflog_code judge(const struct tuflog_policy *p, const struct tuflog_claim *c, const struct tuflog_crypto *y)
{
	memset(&v, 0xa5, sizeof v); /* what a variable on the stack may hold */
	tuflog_begin(&v, p, c, y);
	tuflog_feed(&v, bytes, byte_count);
	return tuflog_end(&v);
}

static unsigned unusable(const struct tuflog_policy *p, const struct tuflog_claim *c)
{
	struct tuflog_policy q = *p;
	struct tuflog_claim d = *c;
	struct tuflog_group group = {0, 0, 1};
	unsigned n = 0;

	n += expect("no policy", judge(NULL, c, &watched), TUFLOG_BROKEN);
	n += expect("no claim", judge(p, NULL, &watched), TUFLOG_BROKEN);
	n += expect("no cryptography", judge(p, c, NULL), TUFLOG_BROKEN);
	d.leaf = NULL, d.role = NULL;
	n += expect("no role", judge(p, &d, &watched), TUFLOG_BROKEN);
	q.logs = 255;
	n += expect("too many logs", judge(&q, c, &watched), TUFLOG_BROKEN);
	q.logs = p->logs, q.witnesses = (uint8_t)(TUFLOG_MAX_KEYS + 1 - p->logs);
	n += expect("too many keys", judge(&q, c, &watched), TUFLOG_BROKEN);
	q = *p, q.group_count = TUFLOG_MAX_GROUPS + 1;
	n += expect("too many groups", judge(&q, c, &watched), TUFLOG_BROKEN);
	q = *p, q.keys = NULL;
	n += expect("keys at NULL", judge(&q, c, &watched), TUFLOG_BROKEN);
	q = *p, q.groups = NULL;
	n += expect("groups at NULL", judge(&q, c, &watched), TUFLOG_BROKEN);
	q = *p, q.groups = NULL, q.group_count = 0;
	n += expect("no groups", judge(&q, c, &watched), TUFLOG_QUORUM_SHORT);
	group.keys = 1, q.groups = &group, q.group_count = 1;
	n += expect("a log as a witness", judge(&q, c, &watched), TUFLOG_QUORUM_SHORT);
	memset(&q, 0, sizeof q);
	n += expect("an empty policy", judge(&q, c, &watched), TUFLOG_WRONG_LOG);
	return n;
}

static unsigned broken_cryptography(const struct tuflog_policy *p, const struct tuflog_claim *c)
{
	struct tuflog_crypto y = watched;
	unsigned n = 0;
	long i, all;

	calls = 0;
	n += expect("good", judge(p, c, &watched), TUFLOG_OK);
	all = calls;
	for (i = 0; i < all; i++) {
		fails_at = i, calls = 0;
		n += expect("SHA-256 fails", judge(p, c, &watched), TUFLOG_BROKEN);
	}
	fails_at = -1;
	y.ed25519 = doubt;
	n += expect("Ed25519 fails", judge(p, c, &y), TUFLOG_BAD_PROOF);
	return n;
}

unsigned program_mistakes(const struct tuflog_policy *policy, const struct tuflog_claim *claim, const uint8_t *sidecar,
                          size_t size)
{
	unsigned n = 0;
	size_t i;

	bytes = sidecar, byte_count = size;
	n += unusable(policy, claim);
	n += broken_cryptography(policy, claim);

	memset(&v, 0, sizeof v);
	n += expect("ended, not begun", tuflog_end(&v), TUFLOG_BROKEN);
	memset(&v, 0, sizeof v);
	tuflog_feed(&v, sidecar, size);
	n += expect("fed, not begun", tuflog_end(&v), TUFLOG_BROKEN);
	tuflog_begin(&v, policy, claim, &watched);
	tuflog_feed(&v, NULL, 0);
	n += expect("fed nothing", tuflog_end(&v), TUFLOG_NOT_LOGGED);
	tuflog_begin(&v, policy, claim, &watched);
	tuflog_feed(&v, sidecar, size);
	tuflog_feed(&v, "\xe2\x80\x94 ", 4); /* a sidecar without an end: the name of a stranger */
	for (i = size + 4; i < 1024 * 1024 && !v.reason; i++)
		tuflog_feed(&v, "n", 1);
	n += expect("without an end", tuflog_end(&v), TUFLOG_BAD_PROOF);
	if (i > 512 * 1024 + 1) {
		printf("FAIL without an end: %lu bytes were taken\n", (unsigned long)i);
		n++;
	}
	tuflog_begin(&v, policy, claim, &watched);
	tuflog_feed(&v, "c2sp.org/tlog-proof@v1\nindex 0\nx\n", 33);
	n += expect("a short line", tuflog_end(&v), TUFLOG_BAD_PROOF);
	if (v.line != 3) {
		printf("FAIL a short line: line %lu, want 3\n", (unsigned long)v.line);
		n++;
	}
	n += expect("once more", judge(policy, claim, &watched), TUFLOG_OK);
	n += expect("ended twice", tuflog_end(&v), TUFLOG_OK);
	tuflog_feed(&v, "x", 1);
	n += expect("fed behind the end", tuflog_end(&v), TUFLOG_BAD_PROOF);
	tuflog_feed(&v, sidecar, size);
	n += expect("fed after a refusal", tuflog_end(&v), TUFLOG_BAD_PROOF);
	for (i = 0; i < 600 && i < size; i++) { /* cut in the leaf, too */
		byte_count = i;
		judge(policy, claim, &watched);
		if (watched_wrong()) {
			printf("FAIL cut after %u bytes: a hash is not ended\n", (unsigned)i);
			n++;
		}
	}
	return n;
}
