/* Ed25519 of libsodium, SHA-256 of mbedTLS: the libraries of Debian. */
#include "crypto.h"

#include <mbedtls/sha256.h>
#include <mbedtls/version.h>
#include <sodium.h>

#if MBEDTLS_VERSION_NUMBER < 0x03000000 /* where the names without _ret return nothing */
#define mbedtls_sha256_starts mbedtls_sha256_starts_ret
#define mbedtls_sha256_update mbedtls_sha256_update_ret
#define mbedtls_sha256_finish mbedtls_sha256_finish_ret
#endif

static mbedtls_sha256_context context;

static int begin(void *c)
{
	mbedtls_sha256_init(c);
	return mbedtls_sha256_starts(c, 0);
}

static int add(void *c, const uint8_t *bytes, size_t count)
{
	return mbedtls_sha256_update(c, bytes, count);
}

static int end(void *c, uint8_t digest[32])
{
	int err = mbedtls_sha256_finish(c, digest);

	mbedtls_sha256_free(c);
	return err;
}

static int ed25519(const uint8_t key[32], const uint8_t signature[64], const uint8_t *message, size_t count)
{
	return crypto_sign_verify_detached(signature, message, count, key);
}

const struct tuflog_crypto crypto = {begin, add, end, &context, ed25519};

int crypto_start(void)
{
	return sodium_init() < 0;
}
