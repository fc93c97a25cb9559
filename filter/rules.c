#include "wirespool/rules.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "flow_key.h"
#include "program_maybe.h"
#include "wirespool/units.h"

enum {
	LINE_MAX_BYTES = 255, /* of a rule, without its comment */
	WORDS_MAX = 9,
	WORDS_OF_PACKET = 6, /* action to dport */
	CUT_MIN = 14,        /* as of a recording's snaplen: less is no frame */
	NAME_SHOWN = 200,    /* bytes of a file's name in a sentence */
};

struct parser {
	struct rules *rules;
	size_t room;       /* rules that the list has memory for */
	unsigned int line; /* being read, from 1 */
	bool is_list;
	struct errbuf *err;
};

static int fault(const struct parser *p, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

static int fault(const struct parser *p, const char *format, ...)
{
	char text[sizeof(p->err->text)];
	va_list args;

	va_start(args, format);
	(void)vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	if (p->is_list)
		return fail_with(p->err, -EINVAL, "%.*s, rule %u: %s", NAME_SHOWN, p->rules->name,
			p->line, text);
	return fail_with(p->err, -EINVAL, "%.*s:%u: %s", NAME_SHOWN, p->rules->name, p->line, text);
}

/* One word */

static int action_parse(const struct parser *p, const char *word, struct rule *r)
{
	static const char cut_word[] = "cut=";
	struct errbuf err;

	if (strcmp(word, "keep") == 0) {
		r->action = RULE_KEEP;
		return 0;
	}
	if (strcmp(word, "drop") == 0) {
		r->action = RULE_DROP;
		return 0;
	}
	if (strncmp(word, cut_word, strlen(cut_word)) != 0)
		return fault(p,
			"the action must be keep, drop, cut=N, cut=headers or cut=headers+N, got "
			"\"%s\"",
			word);
	r->action = RULE_CUT;
	if (cut_parse(word + strlen(cut_word), &r->cut, &err) < 0)
		return fault(p, "%s: %s", word, err.text);
	if (!r->cut.headers && r->cut.snaplen < CUT_MIN)
		return fault(p, "%s must be cut=0 (whole packets) or cut=%d to cut=%d", word,
			CUT_MIN, SNAPLEN_MAX);
	return 0;
}

static int protocol_number_parse(const struct parser *p, const char *word, int *ret)
{
	uint64_t number;

	if (number_parse(word, "", 0, UINT8_MAX, &number, NULL) < 0)
		return fault(p,
			"the protocol must be any, a name as tcp, udp or icmp6, or a number "
			"0..255, "
			"got \"%s\"",
			word);
	if (number >= UNASSIGNED_FIRST && number <= UNASSIGNED_LAST)
		return fault(p,
			"protocol %s cannot be named: %d to %d are assigned to nobody, and not "
			"told "
			"apart",
			word, UNASSIGNED_FIRST, UNASSIGNED_LAST);
	*ret = (int)number;
	return 0;
}

/* Without the C library's getprotobyname(), which reads a file that another host does not have. */
static int protocol_parse(const struct parser *p, const char *word, int *ret)
{
	static const struct {
		const char *name;
		int number;
	} protocols[] = {{"any", PROTOCOL_ANY}, {"tcp", 6}, {"udp", 17}, {"icmp", 1}, {"icmp6", 58},
		{"icmpv6", 58}, {"ipv6-icmp", 58}, {"sctp", 132}, {"dccp", 33}, {"udplite", 136},
		{"igmp", 2}, {"ipip", 4}, {"ipv6", 41}, {"rsvp", 46}, {"gre", 47}, {"esp", 50},
		{"ah", IPPROTO_AH}, {"eigrp", 88}, {"ospf", 89}, {"pim", 103}, {"vrrp", 112},
		{"l2tp", 115}};

	for (size_t i = 0; i < sizeof(protocols) / sizeof(protocols[0]); i++) {
		if (strcmp(word, protocols[i].name) == 0) {
			*ret = protocols[i].number;
			return 0;
		}
	}
	return protocol_number_parse(p, word, ret);
}

/* Clears what is behind the bits that count. True when there was something. */
static bool net_mask(struct rule_net *net)
{
	bool was_set = false;

	for (unsigned int i = 0; i < sizeof(net->address); i++) {
		unsigned int bits = net->length > i * 8 ? net->length - i * 8 : 0;
		uint8_t mask = (uint8_t)(0xff00 >> (bits < 8 ? bits : 8));

		was_set = was_set || (net->address[i] & ~mask) != 0;
		net->address[i] &= mask;
	}
	return was_set;
}

static int net_parse(const struct parser *p, const char *name, char *word, struct rule_net *net)
{
	char *slash, right[INET6_ADDRSTRLEN];
	uint64_t length;
	int family;

	if (strcmp(word, "any") == 0)
		return 0;
	family = strchr(word, ':') != NULL ? AF_INET6 : AF_INET;
	net->version = family == AF_INET ? 4 : 6;
	length = family == AF_INET ? 32 : 128;
	slash = strchr(word, '/');
	if (slash != NULL)
		*slash = '\0';
	if (inet_pton(family, word, net->address) != 1)
		return fault(p,
			"%s must be any, an address or a net as 10.0.0.0/8 or 2001:db8::/32, got "
			"\"%s%s%s\"",
			name, word, slash != NULL ? "/" : "", slash != NULL ? slash + 1 : "");
	if (slash != NULL && number_parse(slash + 1, "", 0, length, &length, NULL) < 0)
		return fault(p, "the bits of %s must be a whole number in 0..%d, got \"%s/%s\"",
			name, family == AF_INET ? 32 : 128, word, slash + 1);
	net->length = (uint8_t)length;
	if (net_mask(net))
		return fault(p,
			"%s has bits set behind the first %u, got \"%s/%s\": the net is "
			"%s/%u",
			name, net->length, word, slash + 1,
			inet_ntop(family, net->address, right, sizeof(right)), net->length);
	return 0;
}

static int ports_parse(const struct parser *p, const char *name, char *word, struct port_range *ret)
{
	uint64_t first = 0, last = UINT16_MAX;
	char *dash;

	if (strcmp(word, "any") != 0) {
		dash = strchr(word, '-');
		if (dash != NULL)
			*dash = '\0';
		if (number_parse(word, "", 0, UINT16_MAX, &first, NULL) < 0 ||
			number_parse(
				dash != NULL ? dash + 1 : word, "", 0, UINT16_MAX, &last, NULL) < 0)
			return fault(p,
				"%s must be any, a port 0..65535 or a range as 1024-65535, got "
				"\"%s%s%s\"",
				name, word, dash != NULL ? "-" : "", dash != NULL ? dash + 1 : "");
		if (first > last)
			return fault(p,
				"%s must go from the lower port to the higher, got \"%s-%s\"", name,
				word, dash + 1);
	}
	*ret = (struct port_range){.first = (uint16_t)first, .last = (uint16_t)last};
	return 0;
}

/* One line */

/* Such headers are passed over: a packet's protocol is what comes behind them. */
static bool is_passed_over(const struct rule *r)
{
	bool is_ipv6 = r->src.net.version == 6 || r->dst.net.version == 6;

	if (r->protocol == PROTOCOL_ANY)
		return false;
	return r->protocol == IPPROTO_AH || (is_ipv6 && is_extension((uint32_t)r->protocol));
}

/* What would never match nobody means: ports of a protocol that has none, for one. */
static int check_whole(const struct parser *p, const struct rule *r, const char *protocol)
{
	uint8_t src = r->src.net.version, dst = r->dst.net.version;

	if (src != 0 && dst != 0 && src != dst)
		return fault(
			p, "src-net is IPv%u and dst-net is IPv%u: no packet has both", src, dst);
	if (is_passed_over(r))
		return fault(p,
			"protocol %s would match no packet: rules look behind its header, at what "
			"follows",
			protocol);
	if (rule_has_ports(r) && r->protocol != PROTOCOL_ANY &&
		flow_classes[r->protocol] < CLASS_PORTS)
		return fault(p, "protocol %s has no ports: sport and dport must be any", protocol);
	return 0;
}

static int check_words(const struct parser *p, char *const words[], unsigned int count)
{
	if (count < WORDS_OF_PACKET)
		return fault(p,
			"a rule is ACTION PROTO SRC-NET SPORT DST-NET DPORT [either way], here are "
			"only %u words",
			count);
	if (count == WORDS_OF_PACKET ||
		(count == WORDS_OF_PACKET + 2 && strcmp(words[WORDS_OF_PACKET], "either") == 0 &&
			strcmp(words[WORDS_OF_PACKET + 1], "way") == 0))
		return 0;
	return fault(p, "behind dport only \"either way\" may follow, got \"%s%s%s\"",
		words[WORDS_OF_PACKET], count > WORDS_OF_PACKET + 1 ? " " : "",
		count > WORDS_OF_PACKET + 1 ? words[WORDS_OF_PACKET + 1] : "");
}

static int words_parse(
	const struct parser *p, char *const words[], unsigned int count, struct rule *r)
{
	int err = check_words(p, words, count);

	if (err == 0)
		err = action_parse(p, words[0], r);
	if (err == 0)
		err = protocol_parse(p, words[1], &r->protocol);
	if (err == 0)
		err = net_parse(p, "src-net", words[2], &r->src.net);
	if (err == 0)
		err = ports_parse(p, "sport", words[3], &r->src.ports);
	if (err == 0)
		err = net_parse(p, "dst-net", words[4], &r->dst.net);
	if (err == 0)
		err = ports_parse(p, "dport", words[5], &r->dst.ports);
	if (err == 0)
		err = check_whole(p, r, words[1]);
	r->either_way = count > WORDS_OF_PACKET;
	return err;
}

/* More than WORDS_MAX are not told apart: a rule has no more than eight. */
static unsigned int split(char *line, char *words[WORDS_MAX])
{
	unsigned int count = 0;
	char *rest = NULL;

	for (char *word = strtok_r(line, " \t\r\n\f\v", &rest); word != NULL && count < WORDS_MAX;
		word = strtok_r(NULL, " \t\r\n\f\v", &rest))
		words[count++] = word;
	return count;
}

static int rule_append(struct parser *p, const struct rule *r)
{
	struct rules *all = p->rules;

	if (all->count == RULES_MAX)
		return fault(p, "a table has at most %d rules, and this is one more", RULES_MAX);
	if (all->count == p->room) {
		size_t room = p->room > 0 ? 2 * p->room : 64;
		struct rule *grown = realloc(all->list, room * sizeof(*grown));

		if (grown == NULL)
			return fail_with(p->err, -ENOMEM, "no memory for %zu rules", room);
		all->list = grown;
		p->room = room;
	}
	all->list[all->count++] = *r;
	return 0;
}

/* line is the rule's own part of rules->text; it is left without its comment and outer blanks. */
static int line_parse(struct parser *p, char *line)
{
	struct rule r = {.protocol = PROTOCOL_ANY, .line = p->line};
	char copy[LINE_MAX_BYTES + 1], *words[WORDS_MAX];
	size_t length;
	unsigned int count;
	int err;

	line[strcspn(line, "#")] = '\0';
	line += strspn(line, " \t\r\n\f\v");
	length = strlen(line);
	while (length > 0 && strchr(" \t\r\n\f\v", line[length - 1]) != NULL)
		length--;
	line[length] = '\0';
	if (length == 0)
		return 0;
	if (length > LINE_MAX_BYTES)
		return fault(p, "a rule has at most %d bytes, got %zu", LINE_MAX_BYTES, length);
	memcpy(copy, line, length + 1);
	count = split(copy, words);
	/* A fault quotes words: it is one line of ASCII, whatever the file holds, as is every rule. */
	for (unsigned int i = 0; i < count; i++)
		for (char *c = words[i]; *c != '\0'; c++)
			if ((unsigned char)*c < ' ' || (unsigned char)*c >= 0x7f)
				*c = '?';
	err = words_parse(p, words, count, &r);
	if (err < 0)
		return err;
	r.text = line;
	return rule_append(p, &r);
}

/* Many lines */

static int parser_open(struct parser *p, const char *name, size_t text_bytes)
{
	p->rules = calloc(1, sizeof(*p->rules));
	if (p->rules == NULL)
		return fail_with(p->err, -ENOMEM, "%.*s: no memory", NAME_SHOWN, name);
	p->rules->name = strdup(name);
	p->rules->text = malloc(text_bytes);
	if (p->rules->name == NULL || p->rules->text == NULL) {
		rules_free(p->rules);
		return fail_with(p->err, -ENOMEM, "%.*s: no memory", NAME_SHOWN, name);
	}
	return 0;
}

static int parser_close(struct parser *p, int r, struct rules **ret)
{
	if (r < 0)
		rules_free(p->rules);
	else
		*ret = p->rules;
	return r;
}

int rules_parse_text(
	const char *text, size_t length, const char *name, struct rules **ret, struct errbuf *err)
{
	struct parser p = {.err = err};
	char *line, *next, *end;
	int r;

	if (length > RULES_BYTES_MAX)
		return fail_with(err, -EINVAL, "%.*s: is longer than %d MiB", NAME_SHOWN, name,
			RULES_BYTES_MAX >> 20);
	r = parser_open(&p, name, length + 1);
	if (r < 0)
		return r;
	memcpy(p.rules->text, text, length);
	end = p.rules->text + length;
	*end = '\0';
	for (line = p.rules->text; r == 0 && line < end; line = next + 1) {
		next = memchr(line, '\n', (size_t)(end - line));
		next = next != NULL ? next : end;
		*next = '\0';
		p.line++;
		if (strlen(line) != (size_t)(next - line))
			r = fault(&p, "is not text, it has a byte of 0");
		else
			r = line_parse(&p, line);
	}
	return parser_close(&p, r, ret);
}

int rules_parse_lines(const char *const lines[], unsigned int count, const char *name,
	struct rules **ret, struct errbuf *err)
{
	struct parser p = {.is_list = true, .err = err};
	size_t bytes = 1;
	char *line;
	int r;

	for (unsigned int i = 0; i < count; i++)
		bytes += strlen(lines[i]) + 1;
	r = parser_open(&p, name, bytes);
	if (r < 0)
		return r;
	line = p.rules->text;
	for (unsigned int i = 0; i < count && r == 0; i++) {
		size_t length = strlen(lines[i]);

		memcpy(line, lines[i], length + 1);
		p.line++;
		r = line_parse(&p, line);
		line += length + 1;
	}
	return parser_close(&p, r, ret);
}

/* All of the file, up to one byte more than may be. */
static int file_read(int fd, char *text, size_t *ret_length)
{
	size_t length = 0;
	ssize_t n;

	do {
		n = read(fd, text + length, RULES_BYTES_MAX + 1 - length);
		if (n < 0 && errno != EINTR)
			return -errno;
		length += n > 0 ? (size_t)n : 0;
	} while (n != 0 && length <= RULES_BYTES_MAX);
	*ret_length = length;
	return 0;
}

int rules_parse_file(const char *path, struct rules **ret, struct errbuf *err)
{
	/* Not to hang where somebody put a pipe. */
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK), r;
	size_t length = 0;
	struct stat st;
	char *text;

	if (fd < 0)
		return fail_with(
			err, -errno, "cannot open '%.*s': %s", NAME_SHOWN, path, strerror(errno));
	if (fstat(fd, &st) == 0 && !S_ISREG(st.st_mode)) {
		(void)close(fd);
		return fail_with(err, -EINVAL, "'%.*s' must be a file", NAME_SHOWN, path);
	}
	text = malloc(RULES_BYTES_MAX + 1);
	r = text != NULL ? file_read(fd, text, &length) : -ENOMEM;
	(void)close(fd);
	if (r < 0)
		(void)fail_with(err, r, "cannot read '%.*s': %s", NAME_SHOWN, path, strerror(-r));
	else
		r = rules_parse_text(text, length, path, ret, err);
	free(text);
	return r;
}

void rules_free(struct rules *r)
{
	if (r == NULL)
		return;
	free(r->list);
	free(r->name);
	free(r->text);
	free(r);
}

bool rules_drop_all(const struct rules *r)
{
	for (unsigned int i = 0; i < r->count; i++)
		if (r->list[i].action != RULE_DROP)
			return false;
	return true;
}
