/* The cryptography that the tests give the verifier. */
#ifndef CHECK_CRYPTO_H
#define CHECK_CRYPTO_H

#include "../tuflog.h"

extern const struct tuflog_crypto crypto;

int crypto_start(void); /* 0 if it works */

#endif
