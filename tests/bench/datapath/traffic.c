/* Senders and receivers for the benchmark, as near to the socket as a program comes, so that what is compared
 * is the way between them. Results go to stdout as one line of JSON.
 *
 *   traffic udp-sink PORT MILLISECONDS              count datagrams, from 100 ms after the first one on
 *   traffic udp-blast ADDRESS PORT MILLISECONDS     send datagrams of 64 octets as fast as the kernel takes them
 *   traffic rr-server PORT                          echo single octets of one TCP connection, until it closes
 *   traffic rr ADDRESS PORT MILLISECONDS            one octet there and back, over and over: transactions' times
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define BATCH 64
#define DATAGRAM 64
#define SETTLE_NS 100000000ull
#define TIMEOUT_S 10
#define SAMPLES_MAX 2000000

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000000000ull + now.tv_nsec;
}

static struct sockaddr_in at(const char *address, const char *port)
{
	struct sockaddr_in result = { .sin_family = AF_INET, .sin_port = htons(atoi(port)) };

	if (inet_pton(AF_INET, address, &result.sin_addr) != 1)
		die(address);
	return result;
}

static int opened(int type)
{
	struct timeval timeout = { .tv_sec = TIMEOUT_S };
	int one = 1, fd = socket(AF_INET, type, 0);

	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout)) ||
	    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)))
		die("socket");
	return fd;
}

static int bound(int type, const char *port)
{
	struct sockaddr_in here = at("0.0.0.0", port);
	int fd = opened(type);

	if (bind(fd, (struct sockaddr *)&here, sizeof(here)))
		die("bind");
	return fd;
}

/* A batch of datagrams for sendmmsg and recvmmsg. */
struct batch {
	struct mmsghdr message[BATCH];
	struct iovec part[BATCH];
	char data[BATCH][DATAGRAM];
};

static struct batch *new_batch(void)
{
	struct batch *batch = calloc(1, sizeof(*batch));

	if (!batch)
		die("calloc");
	for (int i = 0; i < BATCH; i++) {
		batch->part[i] = (struct iovec){ batch->data[i], DATAGRAM };
		batch->message[i].msg_hdr.msg_iov = &batch->part[i];
		batch->message[i].msg_hdr.msg_iovlen = 1;
	}
	return batch;
}

static void udp_sink(const char *port, uint64_t window_ns)
{
	int fd = bound(SOCK_DGRAM, port), room = 8 << 20;
	struct batch *batch = new_batch();
	uint64_t begin = 0, now = 0, count = 0;

	setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room));
	printf("ready\n");
	fflush(stdout);
	do {
		int received = recvmmsg(fd, batch->message, BATCH, MSG_WAITFORONE, NULL);

		if (received < 0)
			die("recvmmsg");
		now = now_ns();
		if (!begin)
			begin = now + SETTLE_NS;
		else if (now >= begin)
			count += received;
	} while (now < begin + window_ns);
	printf("{\"packets\": %lu, \"seconds\": %.6f}\n", count, (now - begin) / 1e9);
}

static void udp_blast(const char *address, const char *port, uint64_t duration_ns)
{
	struct sockaddr_in there = at(address, port);
	struct batch *batch = new_batch();
	int fd = opened(SOCK_DGRAM);
	uint64_t begin = now_ns(), sent = 0;

	if (connect(fd, (struct sockaddr *)&there, sizeof(there)))
		die("connect");
	while (now_ns() < begin + duration_ns) {
		/* A receiver that has seen enough closes its socket: its refusals are no failure. */
		int done = sendmmsg(fd, batch->message, BATCH, 0);

		if (done > 0)
			sent += done;
	}
	printf("{\"packets\": %lu, \"seconds\": %.6f}\n", sent, (now_ns() - begin) / 1e9);
}

static void rr_server(const char *port)
{
	int listener = bound(SOCK_STREAM, port), one = 1, fd;
	char octet;

	if (listen(listener, 1))
		die("listen");
	printf("ready\n");
	fflush(stdout);
	fd = accept(listener, NULL, NULL);
	if (fd < 0 || setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)))
		die("accept");
	while (recv(fd, &octet, 1, 0) == 1)
		if (send(fd, &octet, 1, 0) != 1)
			die("send");
}

static int by_size(const void *one, const void *other)
{
	uint32_t a = *(const uint32_t *)one, b = *(const uint32_t *)other;

	return (a > b) - (a < b);
}

static void rr(const char *address, const char *port, uint64_t duration_ns)
{
	struct sockaddr_in there = at(address, port);
	uint32_t *sample_ns = malloc(SAMPLES_MAX * sizeof(*sample_ns));
	int fd = opened(SOCK_STREAM), one = 1;
	uint64_t begin, before, after;
	size_t count = 0;
	char octet = 0;

	if (!sample_ns || setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)) ||
	    connect(fd, (struct sockaddr *)&there, sizeof(there)))
		die("connect");
	begin = before = now_ns();
	while (before < begin + duration_ns && count < SAMPLES_MAX) {
		if (send(fd, &octet, 1, 0) != 1 || recv(fd, &octet, 1, 0) != 1)
			die("transaction");
		after = now_ns();
		sample_ns[count++] = after - before;
		before = after;
	}
	qsort(sample_ns, count, sizeof(*sample_ns), by_size);
	printf("{\"transactions\": %zu, \"median_us\": %.3f, \"p99_us\": %.3f, \"mean_us\": %.3f}\n", count,
	       sample_ns[count / 2] / 1e3, sample_ns[count * 99 / 100] / 1e3, (before - begin) / 1e3 / count);
}

int main(int count, char **word)
{
	const char *what = count > 1 ? word[1] : "";

	if (!strcmp(what, "udp-sink") && count == 4)
		udp_sink(word[2], atol(word[3]) * 1000000ull);
	else if (!strcmp(what, "udp-blast") && count == 5)
		udp_blast(word[2], word[3], atol(word[4]) * 1000000ull);
	else if (!strcmp(what, "rr-server") && count == 3)
		rr_server(word[2]);
	else if (!strcmp(what, "rr") && count == 5)
		rr(word[2], word[3], atol(word[4]) * 1000000ull);
	else
		return 2;
	return 0;
}
