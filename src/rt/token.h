/* SPDX-License-Identifier: MIT */
#ifndef RT_TOKEN_H
#define RT_TOKEN_H

/* Cancel tokens, for the rest of the library: nodes in the waiter's own memory. */
#include "base/list.h"

#include <weft/cancel.h>

/* link is the token's from add until remove returns. */
struct rt_token_node {
	struct list link;
	void (*fn)(struct rt_token_node *node); /* once, in the canceller's thread; must not
						 * block; may unpark */
};

/* False: the token is cancelled already; fn will not be called. */
bool rt_token_add(weft_cancel *token, struct rt_token_node *node);
/* Afterwards fn does not run, and will not (except when called from inside it). True:
 * it never ran. Harmless after an add that returned false. */
bool rt_token_remove(weft_cancel *token, struct rt_token_node *node);

#endif
