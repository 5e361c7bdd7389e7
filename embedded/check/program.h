/* What the program around the verifier may do wrong. */
#ifndef CHECK_PROGRAM_H
#define CHECK_PROGRAM_H

#include "../tuflog.h"

/* The cryptography of crypto.h, watched: its functions notice when they are called out of order. */
extern const struct tuflog_crypto watched;

/* Says, and forgets, whether hashes were begun twice, not ended, or used outside of both. */
int watched_wrong(void);

/* Returns how many mistakes with this sidecar, which is good, had another answer than they must. */
unsigned program_mistakes(const struct tuflog_policy *policy, const struct tuflog_claim *claim, const uint8_t *sidecar,
                          size_t size);

#endif
