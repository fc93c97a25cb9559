#include "bench_predict.h"

#include <math.h>

#include "bench_measure.h"
#include "client.h"
#include "wirespool/units.h"

/* Less than this share of what its slowest part takes: the parts are in each other's way. */
static const double TOGETHER_SHARE = 0.9;

/* What the parts take, of one frame size. Packets are those that arrive, the filtered ones too. */
struct parts {
	double wire_bytes;       /* of a frame */
	double kept;             /* share of the packets */
	double lcore_pps;        /* one of them */
	double writer_pps;       /* one of them */
	double disk_pps;         /* all of them; INFINITY without disks */
	double measured_pps;     /* the least that all of them together took */
	double file_bytes;       /* that a packet that arrives takes on the disks */
	double disk_bytes_per_s; /* one of them, on average */
	unsigned int lcores, writers, disks;
};

double bench_link_bps(unsigned int index)
{
	static const double links[] = {10e9, 25e9, 40e9, 100e9};

	return index < sizeof(links) / sizeof(links[0]) ? links[index] : 0;
}

/* Of one thread: by its cost where the daemon measured that, else its share of the whole. */
static double thread_pps(const json_t *m, const char *cost_key, const char *count_key)
{
	double cost_ns = bench_number(m, cost_key), count = bench_number(m, count_key);

	return cost_ns > 0 ? NS_PER_SEC / cost_ns : bench_number(m, "pkts_per_s") / count;
}

/* A loss is of an instant: what counts of a disk is its slowest second. */
static double slowest_disks(const json_t *report, unsigned int *ret_count)
{
	double bytes_per_s = 0;
	const json_t *m;
	size_t i;

	*ret_count = 0;
	json_array_foreach(json_object_get(report, "measurements"), i, m)
	{
		if (!bench_is(m, BENCH_DISK))
			continue;
		bytes_per_s += bench_number(m, "slowest_file_bytes_per_s");
		*ret_count += 1;
	}
	return bytes_per_s;
}

static double kept_share(const json_t *filtering)
{
	double written = bench_number(filtering, "written_pkts");
	double filtered = bench_number(filtering, "filtered_pkts");

	return filtering != NULL && written + filtered > 0 ? written / (written + filtered) : 1;
}

static void parts_of(const json_t *report, const json_t *packing, struct parts *ret)
{
	const char *frame = answer_text(packing, "frame", "");
	const json_t *filtering = bench_find(report, BENCH_FILTER, frame);
	const json_t *whole = bench_find(report, BENCH_END_TO_END, frame);
	double disk_bytes_per_s = slowest_disks(report, &ret->disks);

	ret->wire_bytes = bench_number(packing, "frame_wire_bytes");
	ret->kept = kept_share(filtering);
	ret->file_bytes = bench_number(packing, "file_bytes_per_pkt") * ret->kept;
	ret->lcores = (unsigned int)bench_number(packing, "lcores");
	ret->writers = (unsigned int)bench_number(packing, "writers");
	ret->lcore_pps =
		thread_pps(filtering != NULL ? filtering : packing, "lcore_ns_per_pkt", "lcores");
	ret->writer_pps = thread_pps(packing, "writer_ns_per_pkt", "writers") / ret->kept;
	ret->disk_pps = ret->disks > 0 ? disk_bytes_per_s / ret->file_bytes : INFINITY;
	ret->disk_bytes_per_s = ret->disks > 0 ? disk_bytes_per_s / ret->disks : 0;
	ret->measured_pps = bench_number(filtering != NULL ? filtering : packing, "pkts_per_s");
	if (whole != NULL)
		ret->measured_pps = fmin(
			ret->measured_pps, bench_number(whole, "slowest_pkts_per_s") / ret->kept);
}

/* What has no limit is null. */
static void put_rate(json_t *o, const char *key, double rate)
{
	(void)json_object_set_new(o, key, isfinite(rate) ? json_real(rate) : json_null());
}

static const char *put_slowest(json_t *o, const struct parts *p)
{
	const struct {
		const char *name;
		const char *key;
		double pps;
	} limits[] = {
		{"lcores", "lcores_pkts_per_s", p->lcores * p->lcore_pps},
		{"writers", "writers_pkts_per_s", p->writers * p->writer_pps},
		{"disks", "disks_pkts_per_s", p->disk_pps},
	};
	unsigned int least = 0;
	double pps;

	for (unsigned int i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
		put_rate(o, limits[i].key, limits[i].pps);
		if (limits[i].pps < limits[least].pps)
			least = i;
	}
	put_rate(o, "measured_pkts_per_s", p->measured_pps);
	pps = fmin(limits[least].pps, p->measured_pps);
	put_rate(o, "pkts_per_s", pps);
	put_rate(o, "wire_bps", pps * 8 * p->wire_bytes);
	return p->measured_pps < TOGETHER_SHARE * limits[least].pps ? "together"
								    : limits[least].name;
}

static json_int_t at_least_one(double needed)
{
	return needed > 1 ? (json_int_t)ceil(needed) : 1;
}

static json_t *needs_of(const struct parts *p, double link_bps)
{
	double pps = link_bps / (8 * p->wire_bytes), bytes_per_s = pps * p->file_bytes;

	return json_pack("{s:f,s:I,s:I,s:o,s:f}", "link_bps", link_bps, "lcores",
		at_least_one(pps / p->lcore_pps), "writers", at_least_one(pps / p->writer_pps),
		"disks",
		p->disks > 0 ? json_integer(at_least_one(bytes_per_s / p->disk_bytes_per_s))
			     : json_null(),
		"disk_bytes_per_s", bytes_per_s);
}

static json_t *rate_of(const char *frame, const struct parts *p)
{
	json_t *rate = json_pack("{s:s}", "frame", frame), *needs = json_array();

	(void)json_object_set_new(rate, "limit", json_string(put_slowest(rate, p)));
	for (unsigned int i = 0; bench_link_bps(i) > 0; i++)
		(void)json_array_append_new(needs, needs_of(p, bench_link_bps(i)));
	(void)json_object_set_new(rate, "needs", needs);
	return rate;
}

json_t *bench_predict(const json_t *report)
{
	json_t *rates = json_array();
	struct parts p = {0};
	const json_t *m;
	size_t i;

	json_array_foreach(json_object_get(report, "measurements"), i, m)
	{
		if (!bench_is(m, BENCH_PACK))
			continue;
		parts_of(report, m, &p);
		(void)json_array_append_new(rates, rate_of(answer_text(m, "frame", ""), &p));
	}
	return json_pack("{s:i,s:i,s:i,s:o}", "lcores", (int)p.lcores, "writers", (int)p.writers,
		"disks", (int)p.disks, "rates", rates);
}
