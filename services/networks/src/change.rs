//! Making and removing networks.

use ipnet::IpNet;

use crate::row::NetworkRow;
use crate::service::{Networks, PREDEFINED, blocking};
use crate::state::State;
use crate::turn::Turn;
use crate::{Error, Filters, Network, NetworkSpec, Pruned, listing, opening, plan};

impl Networks {
    /// Make a network; the reply is the whole of it.
    pub async fn create(&self, mut spec: NetworkSpec) -> Result<Network, Error> {
        if PREDEFINED.contains(&spec.name.as_str()) || spec.name == "default" {
            return Err(Error::PredefinedOperation(spec.name));
        }
        if spec.driver.is_empty() {
            spec.driver = "bridge".to_owned();
        }
        plan::validate(&spec)?;
        let _one_at_a_time = self.changing.lock().await;
        let _turn = Turn::take(&self.config.turn_file).await;
        let id = opening::new_id();
        let (taken, ours) = self.others(&spec)?;
        let mut used = self.bridge.host_subnets(&ours)?;
        used.extend(&taken);
        plan::complete(&mut spec, &self.config, &used, &taken)?;
        let bridge = plan::link(&spec, &self.config.tag, &id);
        if ours.contains(&bridge) {
            return Err(Error::Invalid(format!(
                "the link {bridge} belongs to another network"
            )));
        }
        let row = NetworkRow {
            id,
            created: opening::now(),
            spec,
            bridge,
        };
        let row = self.keep(row).await?;
        durable::crash_point("networks.create.claimed");
        if let Err(error) = self.admit(row.clone(), Vec::new()).await {
            self.scope
                .transaction()
                .delete(&self.table, &row.id)
                .commit()
                .await?;
            return Err(error);
        }
        durable::crash_point("networks.create.made");
        self.publish("create", &row, None);
        self.resolve(&row.id)
    }

    /// The subnets and links of the other networks; refuses a name that is taken.
    fn others(&self, spec: &NetworkSpec) -> Result<(Vec<IpNet>, Vec<String>), Error> {
        let state = self.state();
        let rows = || state.networks.values().map(|n| &n.row);
        if rows().any(|r| r.spec.name == spec.name) {
            return Err(Error::Exists(spec.name.clone()));
        }
        let subnets = rows()
            .flat_map(|r| r.spec.ipam.pools.iter().filter_map(|p| p.subnet))
            .collect();
        Ok((
            subnets,
            rows()
                .map(|r| r.bridge.clone())
                .filter(|b| !b.is_empty())
                .collect(),
        ))
    }

    /// Remove a network that nobody is in.
    pub async fn remove(&self, reference: &str) -> Result<(), Error> {
        let _one_at_a_time = self.changing.lock().await;
        let id = {
            let mut state = self.state();
            let id = state.find(reference)?.row.id.clone();
            refuse_removal(&state, &id)?;
            // From here on nobody comes in any more.
            state.find_mut(&id)?.leaving = true;
            id
        };
        let removed = self.tear_down(&id).await;
        if removed.is_err()
            && let Ok(live) = self.state().find_mut(&id)
        {
            live.leaving = false;
        }
        removed
    }

    /// Remove all custom networks that nobody is in and that pass the filters.
    pub async fn prune(&self, filters: &Filters) -> Result<Pruned, Error> {
        let mut pruned = Pruned::default();
        for network in self.list(filters)? {
            if network.predefined()
                || !network.containers.is_empty()
                || !listing::before(&network, filters.until)
            {
                continue;
            }
            match self.remove(&network.id).await {
                Ok(()) => pruned.removed.push(network.spec.name),
                // Somebody came in, or removed it, in the meantime.
                Err(Error::ActiveEndpoints { .. } | Error::Held { .. } | Error::NotFound(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(pruned)
    }

    async fn tear_down(&self, id: &str) -> Result<(), Error> {
        let row = self.state().find(id)?.row.clone();
        let (plan, driver) = (plan::network(&row)?, self.driver(&row.spec.driver));
        blocking(move || driver.delete_network(&plan).map_err(Error::from)).await?;
        durable::crash_point("networks.remove.unmade");
        self.scope.transaction().delete(&self.table, id).commit().await?;
        self.state().networks.remove(id);
        self.publish("destroy", &row, None);
        Ok(())
    }
}

fn refuse_removal(state: &State, id: &str) -> Result<(), Error> {
    let live = state.find(id)?;
    let name = live.row.spec.name.clone();
    if PREDEFINED.contains(&name.as_str()) {
        return Err(Error::Predefined(name));
    }
    let endpoints: Vec<String> = state
        .members_of(id)
        .map(|m| &m.endpoint)
        .map(|e| {
            format!(
                "name:{:?} id:{:?}",
                e.container_name,
                e.id.get(..12).unwrap_or(&e.id)
            )
        })
        .collect();
    if !endpoints.is_empty() {
        return Err(Error::ActiveEndpoints {
            name,
            endpoints: endpoints.join(", "),
        });
    }
    if live.leaving {
        return Err(Error::NotFound(name));
    }
    match live.holds.values().next() {
        Some(holder) => Err(Error::Held {
            name,
            id: id.to_owned(),
            holder: holder.clone(),
        }),
        None => Ok(()),
    }
}
