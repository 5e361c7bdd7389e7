/* Both of libsodium, as it is compiled for a microcontroller. */
#include "crypto.h"

#include <sodium.h>

static crypto_hash_sha256_state state;

static int begin(void *c)
{
	return crypto_hash_sha256_init(c);
}

static int add(void *c, const uint8_t *bytes, size_t count)
{
	return crypto_hash_sha256_update(c, bytes, count);
}

static int end(void *c, uint8_t digest[32])
{
	return crypto_hash_sha256_final(c, digest);
}

static int ed25519(const uint8_t key[32], const uint8_t signature[64], const uint8_t *message, size_t count)
{
	return crypto_sign_ed25519_verify_detached(signature, message, count, key);
}

const struct tuflog_crypto crypto = {begin, add, end, &state, ed25519};

int crypto_start(void)
{
	return 0; /* verifying needs no randomness, which is what sodium_init would look for */
}
