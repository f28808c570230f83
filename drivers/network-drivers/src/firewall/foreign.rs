//! Chains of other tables that would drop our packets.
//!
//! An `accept` in our table does not overrule a drop in another: each base chain of a hook decides by itself. Docker
//! and ufw set `FORWARD` to drop. So where iptables' `filter FORWARD` drops, our bridges are accepted there, in
//! `DOCKER-USER` if that exists (after the rules of the administrator), else at the head of `FORWARD`. The rules have
//! the form that iptables-nft writes, so that `iptables -S` shows them: a comparison of the link's name with its final
//! zero, a counter, a verdict, and a comment in the rule's user data. What may pass is still decided by our table.

use netlink::Error;
use netlink::nft::{Batch, Chain, Cmp, Expr, Family, MetaKey, Nft, Reg, Rule, Verdict};

const FORWARD_HOOK: u32 = 2;

/// Chains that drop forwarded packets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Foreign {
    /// Those that got our rules just now.
    pub opened: Vec<String>,
    /// Those that are not ours to change.
    pub blocking: Vec<String>,
}

fn comment(tag: &str, link: &str, direction: &str) -> String {
    format!("dhow-{tag}: {direction} {link}")
}

fn is_ours(rule: &Rule, tag: &str) -> bool {
    rule.comment
        .as_deref()
        .is_some_and(|c| c.starts_with(&format!("dhow-{tag}: ")))
}

/// Bring our rules in foreign chains to what `links` need; says what was found and how many commits that took.
pub(super) fn open(nft: &mut Nft, tag: &str, links: &[&str]) -> Result<(Foreign, u32), Error> {
    let mut found = Foreign::default();
    let mut batch = Batch::new();
    let chains = nft.chains()?;
    let drops = |c: &&Chain| c.drops && c.hook.is_some_and(|(hook, _)| hook == FORWARD_HOOK);
    for chain in chains
        .iter()
        .filter(|c| !c.table.starts_with("dhow-"))
        .filter(drops)
    {
        let name = format!("{} {}", chain.table, chain.name);
        if !(iptables_family(chain.family) && chain.table == "filter" && chain.name == "FORWARD") {
            found.blocking.push(name);
            continue;
        }
        let of_docker = chains
            .iter()
            .any(|c| c.family == chain.family && c.table == "filter" && c.name == "DOCKER-USER");
        let place = if of_docker { "DOCKER-USER" } else { "FORWARD" };
        let rules = nft.rules(chain.family, "filter", Some(place))?;
        if bring_in(&mut batch, chain.family, place, &rules, tag, links) {
            found.opened.push(name);
        }
    }
    nft.commit(&batch, "accept forwarded packets of our bridges")?;
    Ok((found, u32::from(!batch.is_empty())))
}

/// Take all our rules out again.
pub(super) fn close(nft: &mut Nft, tag: &str) -> Result<(), Error> {
    let mut batch = Batch::new();
    for family in [Family::Ipv4, Family::Ipv6] {
        for rule in nft
            .rules(family, "filter", None)?
            .iter()
            .filter(|r| is_ours(r, tag))
        {
            batch.delete_rule(family, "filter", &rule.chain, rule.handle);
        }
    }
    nft.commit(&batch, "take out our rules")
}

fn iptables_family(family: Family) -> bool {
    matches!(family, Family::Ipv4 | Family::Ipv6)
}

/// Says whether anything had to be added.
fn bring_in(
    batch: &mut Batch,
    family: Family,
    chain: &str,
    rules: &[Rule],
    tag: &str,
    links: &[&str],
) -> bool {
    let wanted: Vec<(String, MetaKey, &str)> = links
        .iter()
        .flat_map(|link| {
            [
                (comment(tag, link, "from"), MetaKey::IifName, *link),
                (comment(tag, link, "to"), MetaKey::OifName, *link),
            ]
        })
        .collect();
    let present = |text: &str| rules.iter().any(|r| r.comment.as_deref() == Some(text));
    for rule in rules.iter().filter(|r| is_ours(r, tag)) {
        if !wanted
            .iter()
            .any(|(text, ..)| rule.comment.as_deref() == Some(text))
        {
            batch.delete_rule(family, "filter", chain, rule.handle);
        }
    }
    // In DOCKER-USER the administrator's rules come first; older versions end it with a bare return.
    let in_docker_user = chain == "DOCKER-USER";
    let last_return = rules.last().filter(|r| r.bare_return).map(|r| r.handle);
    let mut added = false;
    for (text, key, link) in wanted.iter().filter(|(text, ..)| !present(text)) {
        let rule = accept_link(*key, link);
        match (in_docker_user, last_return) {
            (true, None) => batch.add_rule(family, "filter", chain, &rule, Some(text)),
            (true, before) => batch.insert_rule(family, "filter", chain, &rule, Some(text), before),
            (false, _) => batch.insert_rule(family, "filter", chain, &rule, Some(text), None),
        }
        added = true;
    }
    added
}

fn accept_link(key: MetaKey, link: &str) -> Vec<Expr> {
    let mut name = link.as_bytes().to_vec();
    name.push(0);
    vec![
        Expr::Meta(key, Reg(0)),
        Expr::Cmp(Cmp::Eq, Reg(0), name),
        Expr::Counter,
        Expr::Verdict(Verdict::Accept),
    ]
}
