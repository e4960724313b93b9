/* SPDX-License-Identifier: MIT */
/* Buffers from a pool, weft_buf_alloc and weft_buf_unref; see pool_rows.h. */
#include "must.h"

struct piece {
	void *data;
	weft_buf buf;
};

static weft_buf_pool *pool;

static inline void take(struct piece *piece, size_t size)
{
	must(weft_buf_alloc(&piece->buf, pool, size), "weft_buf_alloc");
	piece->data = piece->buf.data;
}

static inline void give(struct piece *piece)
{
	weft_buf_unref(&piece->buf);
}

static void trim(void)
{
	weft_buf_pool_trim(pool);
}

#include "pool_rows.h"

int main(int argc, char **argv)
{
	must(weft_buf_pool_create(&pool, NULL), "weft_buf_pool_create");
	int status = pool_main(argc, argv);
	weft_buf_pool_free(pool);
	return status;
}
