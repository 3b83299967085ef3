/* An intrusive doubly linked list with a head that is a link itself. A link that is in no list
 * points to itself, so that removing twice is harmless and pxi_list_holds () can tell. */
#ifndef PXI_BASE_LIST_H
#define PXI_BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

typedef struct pxi_list {
    struct pxi_list *next, *previous;
} pxi_list;

/* The structure that a link lies in. */
#define PXI_LIST_ENTRY(link, type, member) ((type *)((char *)(link)-offsetof (type, member)))

/* Walk from the first to the last; the body must not remove `link`. */
#define PXI_LIST_EACH(link, list)                                                                  \
    for (pxi_list *link = (list)->next; link != (list); link = link->next)

/* The same; the body may remove `link` (but not the one after it). */
#define PXI_LIST_EACH_SAFE(link, list)                                                             \
    for (pxi_list *link = (list)->next, *link##_next = link->next; link != (list);                 \
         link = link##_next, link##_next = link->next)

/* For heads and for links alike. */
static inline void pxi_list_init (pxi_list *list)
{
    list->next = list->previous = list;
}

static inline bool pxi_list_is_empty (const pxi_list *list)
{
    return list->next == list;
}

/* True for a link that is in a list. */
static inline bool pxi_list_holds (const pxi_list *link)
{
    return link->next != link;
}

static inline void pxi_list_add_after (pxi_list *place, pxi_list *link)
{
    link->previous = place;
    link->next = place->next;
    place->next->previous = link;
    place->next = link;
}

static inline void pxi_list_add_first (pxi_list *list, pxi_list *link)
{
    pxi_list_add_after (list, link);
}

static inline void pxi_list_add_last (pxi_list *list, pxi_list *link)
{
    pxi_list_add_after (list->previous, link);
}

static inline void pxi_list_remove (pxi_list *link)
{
    link->previous->next = link->next;
    link->next->previous = link->previous;
    pxi_list_init (link);
}

/* NULL when empty. */
static inline pxi_list *pxi_list_first (const pxi_list *list)
{
    return list->next != list ? list->next : NULL;
}

static inline pxi_list *pxi_list_last (const pxi_list *list)
{
    return list->previous != list ? list->previous : NULL;
}

#endif
