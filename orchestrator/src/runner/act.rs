//! Takes one step of a drill: the one place where steps become acts.

use futures_util::future::join_all;
use tokio::time::Instant;

use super::leases::Leases;
use super::plan::Planned;
use crate::causes::in_words;
use crate::step::{Start, Step};
use crate::world::redis::{RedisError, RedisUrl};
use crate::world::{World, WorldError};

/// Takes the step. What went wrong is said in words.
pub(super) async fn take(
    planned: &Planned<'_>,
    world: &World,
    leases: &Leases,
) -> Result<(), String> {
    let victims = &planned.victims;
    // Later ones may find it so that it cannot be asked.
    if planned.is_first_on_redis {
        is_used(world).await?;
    }
    let in_world = match planned.step {
        Step::Kill(step) => each(victims, |name| world.kill(name, step.signal)).await,
        Step::Stop(step) => each(victims, |name| world.shut_down(name, step.grace)).await,
        Step::Start(step) => start(step, victims, world).await,
        Step::Restart(step) => {
            let end = Instant::now() + step.grace + step.within;
            match each(victims, |name| world.restart(name, step.grace)).await {
                Ok(()) => until_ready(victims, world, end).await,
                failed => failed,
            }
        }
        Step::Pause(_) => each(victims, |name| world.pause(name)).await,
        Step::Unpause(_) => each(victims, |name| world.resume(name)).await,
        Step::Disconnect(step) => {
            each(victims, |name| world.disconnect(name, step.network.as_deref())).await
        }
        Step::Reconnect(_) => each(victims, |name| world.reconnect(name)).await,
        Step::Flush(_) => redis(world, async |redis| redis.flush().await).await,
        Step::KillClients(_) => redis(world, async |redis| redis.kill_clients().await).await,
        Step::PauseClients(step) => {
            redis(world, async |redis| redis.pause_clients(step.lasting).await).await
        }
        Step::Inject(step) => {
            return leases.add(&step.leased()).await.map_err(|error| in_words(&error));
        }
        Step::Remove(step) => {
            return leases.remove(&step.0).await.map_err(|error| in_words(&error));
        }
        Step::Wait(step) => {
            tokio::time::sleep(step.0).await;
            Ok(())
        }
    };
    in_world.map_err(|error| in_words(&error))
}

/// A Redis that nobody is connected to can be broken, and nothing would come of it: that proves nothing.
async fn is_used(world: &World) -> Result<(), String> {
    let clients = redis(world, async |redis| redis.clients().await).await;
    match clients.map_err(|error| in_words(&error))? {
        0 => Err("nobody is connected to redis, so that nothing would come of it: let what is drilled use it".to_owned()),
        _ => Ok(()),
    }
}

/// All at once: a session must not find refuge on the next victim. The first failure is told.
async fn each<'a, F>(names: &'a [String], act: impl Fn(&'a str) -> F) -> Result<(), WorldError>
where
    F: Future<Output = Result<(), WorldError>>,
{
    join_all(names.iter().map(|name| act(name))).await.into_iter().collect()
}

/// Starts what is named, or else whatever is down by now.
async fn start(step: &Start, victims: &[String], world: &World) -> Result<(), WorldError> {
    let end = Instant::now() + step.within;
    let down = match victims {
        [] => world.down().await?,
        victims => victims.to_vec(),
    };
    // All of them, though one fails: it must not keep the others down. One after the other, in the
    // order that the world says.
    let mut started = Vec::new();
    for name in &down {
        started.push(world.start_again(name).await);
    }
    let running = down.iter().zip(&started).filter(|(_, started)| started.is_ok());
    let running: Vec<_> = running.map(|(name, _)| name.clone()).collect();
    let ready = until_ready(&running, world, end).await;
    started.into_iter().collect::<Result<(), _>>().and(ready)
}

async fn until_ready(names: &[String], world: &World, end: Instant) -> Result<(), WorldError> {
    let left = || end.saturating_duration_since(Instant::now());
    let waits = names.iter().map(|name| world.wait_ready(name, left()));
    join_all(waits).await.into_iter().collect()
}

async fn redis<T>(
    world: &World,
    act: impl AsyncFnOnce(RedisUrl) -> Result<T, RedisError>,
) -> Result<T, WorldError> {
    Ok(act(world.redis()?).await?)
}
