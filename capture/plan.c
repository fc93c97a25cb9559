#include "port.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <rte_malloc.h>
#include <rte_rcu_qsbr.h>

static struct rx_plan empty_plan;
static _Atomic(struct rx_plan *) current = &empty_plan;
static struct rte_rcu_qsbr *readers;

const struct rx_plan *rx_plan_now(void)
{
	return atomic_load_explicit(&current, memory_order_acquire);
}

int rx_plan_init(void)
{
	size_t bytes = rte_rcu_qsbr_get_memsize(RX_QUEUES_MAX);

	readers = rte_zmalloc("rx_plan_readers", bytes, RTE_CACHE_LINE_SIZE);
	if (readers == NULL)
		return -ENOMEM;
	return rte_rcu_qsbr_init(readers, RX_QUEUES_MAX) == 0 ? 0 : -ENOMEM;
}

void rx_plan_enter(unsigned int index)
{
	(void)rte_rcu_qsbr_thread_register(readers, index);
	rte_rcu_qsbr_thread_online(readers, index);
}

void rx_plan_quiescent(unsigned int index)
{
	rte_rcu_qsbr_quiescent(readers, index);
}

void rx_plan_leave(unsigned int index)
{
	rte_rcu_qsbr_thread_offline(readers, index);
	(void)rte_rcu_qsbr_thread_unregister(readers, index);
}

static void plan_free(struct rx_plan *plan)
{
	if (plan == &empty_plan || plan == NULL)
		return;
	for (unsigned int i = 0; i < RX_QUEUES_MAX; i++)
		rte_free(plan->lists[i].entries);
	rte_free(plan);
}

/* A filter that asks nothing need not be asked. */
static const struct filter *asks(const struct filter *f)
{
	return f == NULL || filter_keeps_all(f) ? NULL : f;
}

static int list_add(struct rx_plan *plan, const struct rx_rule *rule, unsigned int queue)
{
	const struct port *p = rule->port;
	struct rx_list *list = &plan->lists[p->queues[queue]->index];
	struct rx_entry *e;

	if (list->count == RX_RULES_MAX)
		return -ENOSPC;
	if (list->entries == NULL) {
		list->entries = rte_zmalloc_socket(
			"rx_entries", RX_RULES_MAX * sizeof(*e), RTE_CACHE_LINE_SIZE, p->socket_id);
		if (list->entries == NULL)
			return -ENOMEM;
	}
	e = &list->entries[list->count++];
	e->start_ns = rule->start_ns;
	e->end_ns = rule->end_ns;
	e->switch_ns = rule->switch_ns;
	e->filter = asks(rule->now.filter);
	e->tables = rule->now.tables;
	e->cut = rule->now.cut;
	e->next = rule->next;
	e->next.filter = asks(rule->next.filter);
	e->queue = (uint16_t)queue;
	e->ring = rule->rings[queue];
	e->linktype = p->source.linktype;
	e->whole = cut_keeps_all(&rule->now.cut) &&
		   (rule->switch_ns == UINT64_MAX || cut_keeps_all(&rule->next.cut));
	return 0;
}

static int plan_build(
	struct rx_plan *plan, const struct rx_rule rules[], unsigned int count, struct errbuf *err)
{
	for (unsigned int i = 0; i < count; i++) {
		for (unsigned int q = 0; q < rules[i].port->queue_count; q++) {
			int r = list_add(plan, &rules[i], q);

			if (r == -ENOSPC)
				return fail_with(err, r,
					"port '%s' is in %d live runs already, the most there can "
					"be",
					rules[i].port->name, RX_RULES_MAX);
			if (r < 0)
				return fail_with(err, r, "no memory for the rx plan");
		}
	}
	return 0;
}

static bool rules_name(const struct rx_rule rules[], unsigned int count, const struct port *p)
{
	for (unsigned int i = 0; i < count; i++)
		if (rules[i].port == p)
			return true;
	return false;
}

int rx_plan_publish(const struct rx_rule rules[], unsigned int count, struct errbuf *err)
{
	struct rx_plan *plan, *old;
	int r;

	plan = count == 0 ? &empty_plan
			  : rte_zmalloc("rx_plan", sizeof(*plan), RTE_CACHE_LINE_SIZE);
	if (plan == NULL)
		return fail_with(err, -ENOMEM, "no memory for the rx plan");
	r = plan_build(plan, rules, count, err);
	if (r < 0) {
		plan_free(plan);
		return r;
	}
	/* A port's losses count from before its first packet can until after its last one did. */
	for (struct port *p = all_ports; p != NULL; p = p->next)
		if (rules_name(rules, count, p))
			port_set_live(p, true);

	/* P1: release, so that an lcore that sees the plan sees its lists. */
	old = atomic_exchange_explicit(&current, plan, memory_order_acq_rel);
	(void)rte_rcu_qsbr_synchronize(readers, RTE_QSBR_THRID_INVALID);
	plan_free(old);

	for (struct port *p = all_ports; p != NULL; p = p->next)
		if (!rules_name(rules, count, p))
			port_set_live(p, false);
	return 0;
}

void rx_plan_done(void)
{
	plan_free(atomic_exchange_explicit(&current, &empty_plan, memory_order_acq_rel));
	rte_free(readers);
	readers = NULL;
}
