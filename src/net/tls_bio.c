/* SPDX-License-Identifier: MIT */
/*
 * The ends of an SSL: what it reads is what lies in conn->in, what it writes goes to
 * conn->out. Neither waits: no byte there is "try again", and room is made.
 */
#include "net/tls.h"

#include <pthread.h>
#include <string.h>

#define BLOCK_MIN ((size_t)512)

bool tls_block_reserve(struct tls_conn *c, struct tls_block *block, size_t size)
{
	size_t cap = block->len + size;
	weft_buf memory;

	if (block->cap - block->head - block->len >= size)
		return true;
	if (block->len == 0) {
		block->head = 0;
		if (block->cap >= size)
			return true;
	}
	if (cap < BLOCK_MIN)
		cap = BLOCK_MIN;
	if (weft_buf_alloc(&memory, c->tls->buffers, cap) != WEFT_OK)
		return false;
	if (block->len)
		memcpy(memory.data, block->data + block->head, block->len);
	weft_buf_unref(&block->memory);
	*block = (struct tls_block){ memory, memory.data, cap, 0, block->len };
	return true;
}

void tls_block_free(struct tls_block *block)
{
	weft_buf_unref(&block->memory);
	*block = (struct tls_block){ .data = NULL };
}

/* Under conn->lock, or before there is anybody else. */
static int bio_read(BIO *bio, char *data, size_t size, size_t *got)
{
	struct tls_conn *conn = BIO_get_data(bio);
	size_t n = size < conn->in.len ? size : conn->in.len;

	BIO_clear_retry_flags(bio);
	if (n == 0) {
		BIO_set_retry_read(bio);
		return -1;
	}
	memcpy(data, conn->in.data + conn->in.head, n);
	conn->in.head += n;
	conn->in.len -= n;
	*got = n;
	return 1;
}

static int bio_write(BIO *bio, const char *data, size_t size, size_t *written)
{
	struct tls_conn *conn = BIO_get_data(bio);

	BIO_clear_retry_flags(bio);
	if (!tls_block_reserve(conn, &conn->out, size)) {
		conn->no_memory = true;
		return -1;
	}
	memcpy(conn->out.data + conn->out.head + conn->out.len, data, size);
	conn->out.len += size;
	*written = size;
	return 1;
}

static long bio_ctrl(BIO *bio, int what, long number, void *pointer)
{
	(void)bio;
	(void)number;
	(void)pointer;
	return what == BIO_CTRL_FLUSH || what == BIO_CTRL_PUSH || what == BIO_CTRL_POP;
}

static BIO_METHOD *method; /* NULL: no memory; kept while the process lives */
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void method_make(void)
{
	BIO_METHOD *m = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "weft");

	if (!m)
		return;
	BIO_meth_set_read_ex(m, bio_read);
	BIO_meth_set_write_ex(m, bio_write);
	BIO_meth_set_ctrl(m, bio_ctrl);
	method = m;
}

bool tls_bio_attach(struct tls_conn *conn)
{
	BIO *bio;

	(void)pthread_once(&once, method_make);
	bio = method ? BIO_new(method) : NULL;
	if (!bio)
		return false;
	BIO_set_data(bio, conn);
	BIO_set_init(bio, 1);
	SSL_set_bio(conn->ssl, bio, bio);
	return true;
}
