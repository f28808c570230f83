//! A group that is the scope of a unit: made by systemd, held open until the container is in it, changed through systemd.

use std::sync::{Mutex, PoisonError};

use oci::runtime::{Pids, Resources};

use super::{Cgroup, Part, all, descend, make_v1, make_v2, origin, split};
use crate::dir::Dir;
use crate::systemd::{Bus, Holder, Scope, Unit};
use crate::{Error, Layout, Mode, Result, limits};

/// What a group of systemd has until the container's own process is in it.
#[derive(Debug)]
pub(super) struct Held {
    holder: Holder,
    /// The limit of tasks, which counts the holder, too, until that has gone.
    tasks: Option<i64>,
}

impl Cgroup {
    /// Has systemd make the group, in hierarchies that it does not care for makes it beside, and sets its limits.
    ///
    /// Until [`Cgroup::settle`] a process of ours is in the group. The caller must have one thread. On an error nothing
    /// is left behind.
    pub fn create_scope(layout: &Layout, bus: &Bus, scope: &Scope, resources: &Resources) -> Result<Cgroup> {
        let mut group = Cgroup::nowhere(layout, &scope.group(bus)?);
        let (unit, holder) = scope.start(bus, layout.mode(), resources)?;
        group.unit = Some(unit);
        let tasks = resources
            .pids
            .as_ref()
            .and_then(|pids| pids.limit)
            .filter(|limit| *limit > 0);
        let with_holder = Resources {
            pids: tasks.map_or_else(
                || resources.pids.clone(),
                |limit| {
                    Some(Pids {
                        limit: Some(limit.saturating_add(1)),
                    })
                },
            ),
            ..resources.clone()
        };
        let made = group
            .join(layout)
            .and_then(|()| limits::apply(&group, &with_holder));
        if let Err(error) = made {
            drop(holder);
            let _ = group.remove();
            return Err(error);
        }
        group.held = Mutex::new(Some(Held { holder, tasks }));
        Ok(group)
    }

    /// Ends what held the group open: the container's own process is in it. Without systemd nothing is to be done.
    pub fn settle(&self) -> Result<()> {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(Held { holder, tasks }) = held else {
            return Ok(());
        };
        drop(holder);
        let pids = tasks.map(|limit| Pids { limit: Some(limit) });
        limits::apply(
            self,
            &Resources {
                pids,
                ..Resources::default()
            },
        )
    }

    /// A group that systemd has made, opened by its path, with the unit that changes and removes it.
    #[must_use]
    pub fn of_unit(mut self, unit: Unit) -> Cgroup {
        self.unit = Some(unit);
        self
    }

    /// The unit, where systemd has made the group.
    pub fn unit(&self) -> Option<&Unit> {
        self.unit.as_ref()
    }

    /// Has systemd put a process into the group; false where the group is none of systemd's. For those whom the kernel
    /// does not let do so themselves: users, whose shell is in another part of the tree than their manager.
    pub fn attach_by_systemd(&self, pid: i32) -> Result<bool> {
        match &self.unit {
            Some(unit) => unit.attach(pid).map(|()| true),
            None => Ok(false),
        }
    }

    /// Opens what systemd has made; what it has not, is made.
    fn join(&mut self, layout: &Layout) -> Result<()> {
        for (hierarchy, unified) in all(layout) {
            let names = split(&self.path, origin(layout, hierarchy, unified))?;
            let dir = match descend(Dir::top(&hierarchy.mount)?, &names)? {
                Some(dir) => dir,
                None if unified && self.mode == Mode::V2 => return Err(Error::NotFound(self.path.clone())),
                None if unified => make_v2(hierarchy, &names, Some(&hierarchy.controllers))?.0,
                None => make_v1(hierarchy, &names)?.0,
            };
            self.parts.push(Part::new(hierarchy, unified, names, dir)?);
        }
        Ok(())
    }
}
