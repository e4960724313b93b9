/* SPDX-License-Identifier: MIT */
#ifndef MUX_ACCOUNT_H
#define MUX_ACCOUNT_H

/*
 * What received data takes of a session: bytes that nobody has read (smux's bucket) and
 * memory that holds them, which is more. Slices that were handed out may outlive the session,
 * so the account lives by its references: the session's and one a piece of memory.
 *
 * The session's reader takes; whoever reads, or frees the last slice, gives back, in any
 * thread, and wakes the reader if it waits for that.
 */
#include "base/buf_block.h"
#include "base/counter.h"
#include "sync/pushlist.h"
#include "sync/word.h"

/*
 * Blocks that the connection is read into: bytes of an allocation. A session begins with the smallest,
 * since most lie idle, and takes the next size when a read has filled one. With 64 KiB at most the
 * kernel's receive window stays so small that the peer waits for it: a third less throughput with
 * 64 streams.
 */
#define RX_BLOCK_MIN ((size_t)1024)
#define RX_BLOCK_MAX ((size_t)262144)
#define RX_BLOCK_STEP 4
#define RX_BLOCK_HEAD ((size_t)128) /* of these, the block's own, and malloc's */
#define RX_SPARES_MAX 4		    /* blocks kept for the next reads */

struct account {
	struct refcount refs;
	int64_t memory_max;
	size_t block_max;	   /* bytes of a block: fewer when little may be received */
	struct counter block_size; /* of the next ones; the reader writes */
	struct word64 bucket;	   /* bytes that may still come: signed, below 0 by one read */
	struct word64 memory;	   /* held, but for the block that is being read into */
	struct bell stalled;	   /* the session's reader, when it waits */
	struct pushlist spares;	   /* blocks that came back */
	struct counter spares_len;
	struct counter blocks, charged; /* bytes: of all; of those, counted in memory */
	struct push_node *mine;		/* the reader's: of those, taken */
};

/* A piece of a stream's data, in the order received. */
struct rx_node {
	struct push_node node;
	weft_buf buf;	  /* what is left of it */
	uint32_t charged; /* bytes of the bucket */
};

/* Memory that the connection is read into. Large pieces of payload stay where they are. */
struct rx_block {
	struct push_node node; /* among the spares */
	struct account *account;
	size_t size;  /* of all of it */
	bool charged; /* its memory is counted: the reader has let go of it */
	struct weft_buf_block block;
	uint8_t data[];
};

/* Payload copied together: small pieces, which would hold a whole block each. */
struct rx_chunk {
	struct rx_node node;
	struct account *account;
	struct weft_buf_block block;
	uint32_t room; /* bytes of data */
	uint8_t data[];
};

/* NULL: no memory. */
struct account *account_create(size_t bucket, size_t memory_max);
/* Reader: frees the spares. */
void account_trim(struct account *account);
/* The same for good, by the reader when it ends. */
void account_end(struct account *account);
void account_unref(struct account *account);

/* Reader: a read has filled a block; the next ones are larger. */
void account_grow(struct account *account);
/* Reader: a read has given so much at most, for some time; the next blocks are as small as that
 * allows. Frees what is larger. */
void account_shrink(struct account *account, size_t bytes);
/* Whether account_shrink would do anything for an idle session. */
bool account_is_grown(const struct account *account);
/* Whether it is as large as the next ones are. */
bool account_block_fits(const struct account *account, const weft_buf *block);
/* Reader: a block to read into, as a slice of all its room. False: no memory. */
bool account_block(struct account *account, weft_buf *out);
/* Reader: lets go of it. What slices of it hold is counted from now on. */
void account_block_put(struct account *account, weft_buf *block);
/* Reader: a node with room for so many bytes at least, its buf empty. NULL: no memory. */
struct rx_chunk *account_chunk(struct account *account, size_t bytes);
/* The chunk that the node is; NULL: it is none. */
struct rx_chunk *account_chunk_of(struct rx_node *node);
/* Reader: a node that refers to a part of a block. NULL: no memory. */
struct rx_node *account_slice(const weft_buf *block, const uint8_t *data, size_t len);
/* Reader: so much was received. */
static inline void account_take(struct account *account, uint32_t bytes)
{
	(void)word64_add(&account->bucket, -(int64_t)bytes);
}
/* Anybody: it was read, or dropped. */
void account_give(struct account *account, uint32_t bytes);
/* Frees the node; its bytes, if any are left, are dropped, and the bucket gets all back. */
void account_drop(struct account *account, struct rx_node *node);
/* Takes what is left of the node's data, and frees the node. The bucket gets all back. */
weft_buf account_hand_out(struct account *account, struct rx_node *node);

/* Bytes of the block that is being read into, and of spares. */
size_t account_own_memory(const struct account *account);

static inline bool account_is_full(const struct account *account)
{
	return (int64_t)word64_get(&account->bucket) <= 0;
}

static inline bool account_is_heavy(const struct account *account)
{
	return (int64_t)word64_get(&account->memory) >= account->memory_max;
}

/*
 * Whether memory is held that slices would make more of: a slice that is not read keeps all of its
 * block, up to RX_BLOCK_MAX bytes for one of 4 KiB. From half of memory_max on what comes is
 * copied out, so that streams that nobody reads come to their bytes' worth of the other half.
 */
static inline bool account_is_spread(const struct account *account)
{
	return (int64_t)word64_get(&account->memory) >= account->memory_max / 2;
}

#endif
