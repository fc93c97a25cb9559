/* rooms: filter common PkgConfig::libpcap */
/* Rules as text: what is read, and the sentence of every fault. */
#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "filter/flow_key.h"
#include "suite_main.h"
#include "wirespool/rules.h"

static struct errbuf err;

static struct rules *parse(const char *text)
{
	struct rules *r = NULL;

	ck_assert_msg(
		rules_parse_text(text, strlen(text), "rules.txt", &r, &err) == 0, "%s", err.text);
	ck_assert_str_eq(r->name, "rules.txt");
	return r;
}

/* The text has this fault, and nothing is stored. */
static void refuse(const char *text, const char *sentence)
{
	struct rules *r = NULL;

	ck_assert_msg(rules_parse_text(text, strlen(text), "rules.txt", &r, &err) == -EINVAL,
		"read: %s", text);
	ck_assert_str_eq(err.text, sentence);
	ck_assert_ptr_null(r);
	ck_assert_int_eq(rules_parse_text(text, strlen(text), "rules.txt", &r, NULL), -EINVAL);
}

static void check_net(const struct rule_net *n, int family, const char *address, unsigned int bits)
{
	char right[INET6_ADDRSTRLEN];

	ck_assert_uint_eq(n->version, family == AF_INET ? 4 : 6);
	ck_assert_uint_eq(n->length, bits);
	ck_assert_str_eq(inet_ntop(family, n->address, right, sizeof(right)), address);
}

START_TEST(rule_is_read_word_by_word)
{
	struct rules *r = parse("cut=headers+64 udp 10.0.0.0/8 1024-65535 192.0.2.1 53 either way\n"
				"keep 89 any any 2001:db8::/33 any");
	const struct rule *one = &r->list[0], *two = &r->list[1];

	ck_assert_uint_eq(r->count, 2);
	ck_assert_int_eq(one->action, RULE_CUT);
	ck_assert(one->cut.headers);
	ck_assert_uint_eq(one->cut.extra, 64);
	ck_assert_int_eq(one->protocol, 17);
	check_net(&one->src.net, AF_INET, "10.0.0.0", 8);
	ck_assert_uint_eq(one->src.ports.first, 1024);
	ck_assert_uint_eq(one->src.ports.last, 65535);
	check_net(&one->dst.net, AF_INET, "192.0.2.1", 32);
	ck_assert_uint_eq(one->dst.ports.first, 53);
	ck_assert_uint_eq(one->dst.ports.last, 53);
	ck_assert(rule_has_ports(one));
	ck_assert(one->either_way);

	ck_assert_int_eq(two->action, RULE_KEEP);
	ck_assert_int_eq(two->protocol, 89);
	ck_assert_uint_eq(two->src.net.version, 0);
	ck_assert_uint_eq(two->src.net.length, 0);
	check_net(&two->dst.net, AF_INET6, "2001:db8::", 33);
	ck_assert(!rule_has_ports(two));
	ck_assert(!two->either_way);
	rules_free(r);
}
END_TEST

START_TEST(line_and_text_of_each_rule_stay)
{
	struct rules *r = parse("# ours\r\n\r\n  keep\ttcp any any any 22 # ssh\r\n \t \n"
				"drop any any any any any#\n#keep any any any any any");

	ck_assert_uint_eq(r->count, 2);
	ck_assert_uint_eq(r->list[0].line, 3);
	ck_assert_str_eq(r->list[0].text, "keep\ttcp any any any 22");
	ck_assert_uint_eq(r->list[1].line, 5);
	ck_assert_str_eq(r->list[1].text, "drop any any any any any");
	rules_free(r);
}
END_TEST

START_TEST(protocols_have_names_and_numbers)
{
	static const struct {
		const char *word;
		int number;
	} cases[] = {{"any", PROTOCOL_ANY}, {"tcp", 6}, {"udp", 17}, {"sctp", 132}, {"dccp", 33},
		{"udplite", 136}, {"icmp", 1}, {"icmp6", 58}, {"igmp", 2}, {"gre", 47}, {"esp", 50},
		{"ipip", 4}, {"0", 0}, {"6", 6}, {"223", 223}, {"253", 253}, {"255", 255}};
	char text[64];

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct rules *r;

		(void)snprintf(text, sizeof(text), "keep %s any any any any", cases[i].word);
		r = parse(text);
		ck_assert_int_eq(r->list[0].protocol, cases[i].number);
		rules_free(r);
	}
}
END_TEST

START_TEST(faults_are_told_with_file_line_value_and_rule)
{
	static const struct {
		const char *text, *sentence;
	} cases[] = {
		{"keep any any any any any\nallow any any any any any\n",
			"rules.txt:2: the action must be keep, drop, cut=N, cut=headers or "
			"cut=headers+N, got \"allow\""},
		{"cut=all any any any any any",
			"rules.txt:1: cut=all: snaplen must be a number of bytes 0..262144, "
			"\"headers\" or \"headers+N\", got \"all\""},
		{"cut=13 any any any any any", "rules.txt:1: cut=13 must be cut=0 (whole packets) "
					       "or cut=14 to cut=262144"},
		{"keep tpc any any any any",
			"rules.txt:1: the protocol must be any, a name as tcp, udp or icmp6, or a "
			"number 0..255, got \"tpc\""},
		{"keep 256 any any any any",
			"rules.txt:1: the protocol must be any, a name as tcp, udp or icmp6, or a "
			"number 0..255, got \"256\""},
		{"keep 224 any any any any",
			"rules.txt:1: protocol 224 cannot be named: 224 to 252 are assigned to "
			"nobody, and not told apart"},
		{"keep any 10.0.0 any any any",
			"rules.txt:1: src-net must be any, an address or a net as 10.0.0.0/8 or "
			"2001:db8::/32, got \"10.0.0\""},
		{"keep any any any 2001:db8::g/64 any",
			"rules.txt:1: dst-net must be any, an address or a net as 10.0.0.0/8 or "
			"2001:db8::/32, got \"2001:db8::g/64\""},
		{"keep any 10.0.0.0/33 any any any",
			"rules.txt:1: the bits of src-net must be a whole number in 0..32, got "
			"\"10.0.0.0/33\""},
		{"keep any any any 2001:db8::/ any",
			"rules.txt:1: the bits of dst-net must be a whole number in 0..128, got "
			"\"2001:db8::/\""},
		{"keep any 10.1.2.3/8 any any any",
			"rules.txt:1: src-net has bits set behind the first 8, got \"10.1.2.3/8\": "
			"the net is 10.0.0.0/8"},
		{"keep any any any 2001:db8:ffff::/33 any",
			"rules.txt:1: dst-net has bits set behind the first 33, got "
			"\"2001:db8:ffff::/33\": the net is 2001:db8:8000::/33"},
		{"keep any 0.0.0.1/0 any any any",
			"rules.txt:1: src-net has bits set behind the first 0, got \"0.0.0.1/0\": "
			"the net is 0.0.0.0/0"},
		{"keep tcp any 65536 any any",
			"rules.txt:1: sport must be any, a port 0..65535 or a range as 1024-65535, "
			"got \"65536\""},
		{"keep tcp any any any 80-",
			"rules.txt:1: dport must be any, a port 0..65535 or a range as 1024-65535, "
			"got \"80-\""},
		{"keep tcp any any any http",
			"rules.txt:1: dport must be any, a port 0..65535 or a range as 1024-65535, "
			"got \"http\""},
		{"keep tcp any any any 90-80",
			"rules.txt:1: dport must go from the lower port to the higher, got "
			"\"90-80\""},
		{"keep tcp 10.0.0.0/8 any ::1 any",
			"rules.txt:1: src-net is IPv4 and dst-net is IPv6: no packet has both"},
		{"keep icmp any any any 80",
			"rules.txt:1: protocol icmp has no ports: sport and dport must be any"},
		{"keep 47 any 0-65534 any any",
			"rules.txt:1: protocol 47 has no ports: sport and dport must be any"},
		{"keep ah any any any any", "rules.txt:1: protocol ah would match no packet: rules "
					    "look behind its header, at what follows"},
		{"drop 51 any any 10.0.0.0/8 any",
			"rules.txt:1: protocol 51 would match no packet: rules look behind its "
			"header, at what follows"},
		{"keep 135 any any 2001:db8::/32 any",
			"rules.txt:1: protocol 135 would match no packet: rules look behind its "
			"header, at what follows"},
		{"keep tcp any any any",
			"rules.txt:1: a rule is ACTION PROTO SRC-NET SPORT DST-NET DPORT [either "
			"way], here are only 5 words"},
		{"keep tcp any any any any either-way",
			"rules.txt:1: behind dport only \"either way\" may follow, got "
			"\"either-way\""},
		{"keep tcp any any any any either",
			"rules.txt:1: behind dport only \"either way\" may follow, got \"either\""},
		{"keep tcp any any any any way either",
			"rules.txt:1: behind dport only \"either way\" may follow, got \"way "
			"either\""},
		{"keep tcp any any any any either way out",
			"rules.txt:1: behind dport only \"either way\" may follow, got \"either "
			"way\""},
		{"ke\x1b\x7fp any any any any any",
			"rules.txt:1: the action must be keep, drop, cut=N, cut=headers or "
			"cut=headers+N, got \"ke??p\""},
		/* Latin-1, which JSON cannot carry, and a byte order mark, which nobody sees. */
		{"keep t\xe9p any any any any",
			"rules.txt:1: the protocol must be any, a name as tcp, udp or icmp6, or a "
			"number 0..255, got \"t?p\""},
		{"\xef\xbb\xbfkeep any any any any any",
			"rules.txt:1: the action must be keep, drop, cut=N, cut=headers or "
			"cut=headers+N, got \"???keep\""},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		refuse(cases[i].text, cases[i].sentence);
}
END_TEST

START_TEST(line_that_is_no_text_or_too_long_is_a_fault)
{
	static const char zero[] = "drop any any any any any\nkeep any\0any any any any\n";
	struct rules *r;
	char text[400];

	ck_assert_int_eq(rules_parse_text(zero, sizeof(zero) - 1, "rules.txt", &r, &err), -EINVAL);
	ck_assert_str_eq(err.text, "rules.txt:2: is not text, it has a byte of 0");
	(void)snprintf(text, sizeof(text), "%s%226s", "keep any any any any any ", "#");
	rules_free(parse(text));
	(void)snprintf(text, sizeof(text), "%s%231s", "keep any any any any any ", "x");
	refuse(text, "rules.txt:1: a rule has at most 255 bytes, got 256");
	(void)snprintf(text, sizeof(text), "%s%230s", "keep any any any any any ", "x");
	refuse(text, "rules.txt:1: behind dport only \"either way\" may follow, got \"x\"");
}
END_TEST

START_TEST(empty_text_is_no_rules_that_drop_all)
{
	struct rules *r = parse("");

	ck_assert_uint_eq(r->count, 0);
	ck_assert(rules_drop_all(r));
	rules_free(r);
	r = parse("drop tcp any any any any\n");
	ck_assert(rules_drop_all(r));
	rules_free(r);
	r = parse("drop tcp any any any any\nkeep any any any any any\n");
	ck_assert(!rules_drop_all(r));
	rules_free(r);
	r = parse("cut=64 any any any any any\n");
	ck_assert(!rules_drop_all(r));
	rules_free(r);
	rules_free(NULL);
}
END_TEST

START_TEST(rules_max_is_the_limit)
{
	static const char line[] = "keep any any any any any\n";
	size_t length = sizeof(line) - 1;
	char *text = malloc((RULES_MAX + 1) * length);
	struct rules *r = NULL;

	ck_assert_ptr_nonnull(text);
	for (size_t i = 0; i <= RULES_MAX; i++)
		memcpy(text + i * length, line, length);
	ck_assert_int_eq(rules_parse_text(text, RULES_MAX * length, "rules.txt", &r, &err), 0);
	ck_assert_uint_eq(r->count, RULES_MAX);
	rules_free(r);
	ck_assert_int_eq(
		rules_parse_text(text, (RULES_MAX + 1) * length, "rules.txt", &r, &err), -EINVAL);
	ck_assert_str_eq(err.text,
		"rules.txt:100001: a table has at most 100000 rules, and this is one more");
	free(text);
}
END_TEST

START_TEST(list_is_read_line_by_line_and_its_faults_tell_the_number)
{
	static const char *const good[] = {
		"keep tcp any any any 22", "# none", "drop 1 any any any any"};
	static const char *const bad[] = {"drop any any any any any", "", "keep any any any any"};
	static const char *const two[] = {"drop any any any any any\nkeep any any any any any"};
	struct rules *r = NULL;

	ck_assert_int_eq(rules_parse_lines(good, 3, "recordings[0].rules", &r, &err), 0);
	ck_assert_uint_eq(r->count, 2);
	ck_assert_uint_eq(r->list[1].line, 3);
	ck_assert_str_eq(r->list[1].text, "drop 1 any any any any");
	rules_free(r);
	ck_assert_int_eq(rules_parse_lines(bad, 3, "recordings[0].rules", &r, &err), -EINVAL);
	ck_assert_str_eq(err.text,
		"recordings[0].rules, rule 3: a rule is ACTION PROTO SRC-NET SPORT DST-NET DPORT "
		"[either way], here are only 5 words");
	ck_assert_int_eq(rules_parse_lines(two, 1, "recordings[0].rules", &r, &err), -EINVAL);
	ck_assert_int_eq(rules_parse_lines(NULL, 0, "none", &r, &err), 0);
	ck_assert_uint_eq(r->count, 0);
	rules_free(r);
}
END_TEST

START_TEST(file_is_read_and_what_is_none_is_refused)
{
	char path[] = "/tmp/test_rules.XXXXXX", text[128];
	int fd = mkstemp(path);
	struct rules *r = NULL;

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, "keep any any any any any\nkeep\n", 30), 30);
	ck_assert_int_eq(rules_parse_file(path, &r, &err), -EINVAL);
	(void)snprintf(text, sizeof(text), "%s:2: a rule is ACTION", path);
	ck_assert_int_eq(strncmp(err.text, text, strlen(text)), 0);
	ck_assert_int_eq(ftruncate(fd, 25), 0);
	ck_assert_int_eq(rules_parse_file(path, &r, &err), 0);
	ck_assert_uint_eq(r->count, 1);
	rules_free(r);
	ck_assert_int_eq(ftruncate(fd, RULES_BYTES_MAX + 1), 0);
	ck_assert_int_eq(rules_parse_file(path, &r, &err), -EINVAL);
	ck_assert_ptr_nonnull(strstr(err.text, "is longer than 32 MiB"));
	(void)close(fd);
	ck_assert_int_eq(unlink(path), 0);
	ck_assert_int_eq(rules_parse_file(path, &r, &err), -ENOENT);
	ck_assert_ptr_nonnull(strstr(err.text, path));
	ck_assert_int_eq(mkfifo(path, 0600), 0);
	ck_assert_int_eq(rules_parse_file(path, &r, &err), -EINVAL);
	ck_assert_int_eq(unlink(path), 0);
	ck_assert_int_eq(rules_parse_file("/tmp", &r, &err), -EINVAL);
	ck_assert_str_eq(err.text, "'/tmp' must be a file");
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("rules");
	TCase *tc = tcase_create("rules");

	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, rule_is_read_word_by_word);
	tcase_add_test(tc, line_and_text_of_each_rule_stay);
	tcase_add_test(tc, protocols_have_names_and_numbers);
	tcase_add_test(tc, faults_are_told_with_file_line_value_and_rule);
	tcase_add_test(tc, line_that_is_no_text_or_too_long_is_a_fault);
	tcase_add_test(tc, empty_text_is_no_rules_that_drop_all);
	tcase_add_test(tc, rules_max_is_the_limit);
	tcase_add_test(tc, list_is_read_line_by_line_and_its_faults_tell_the_number);
	tcase_add_test(tc, file_is_read_and_what_is_none_is_refused);
	suite_add_tcase(suite, tc);
	return suite_run(suite);
}
