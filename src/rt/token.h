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

/* A node without a function: who cancels the token cancels the target, too, as if it were a
 * child, for the same reason. A target has one link at most, and its owner holds it until
 * remove has returned. */
struct rt_token_link {
	struct rt_token_node node;
	weft_cancel *target;
};

/* False: the token is cancelled already; fn will not be called. */
bool rt_token_add(weft_cancel *token, struct rt_token_node *node);
bool rt_token_link_add(weft_cancel *token, struct rt_token_link *link, weft_cancel *target);
/* Afterwards fn does not run, and will not (except when called from inside it). True:
 * it never ran. Harmless after an add that returned false. */
bool rt_token_remove(weft_cancel *token, struct rt_token_node *node);

#endif
