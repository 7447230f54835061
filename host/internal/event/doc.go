// Package event fans the record's events out to whoever follows them, and wakes those who wait for a
// key.
//
// Guarantees: a publisher never waits for a subscriber; a subscription holds a bounded number of
// events; a follower sees every event after its cursor once and in order, from the record first and
// live from then on; a wake-up between Wait and the select on its channel is never lost; nothing
// polls and no goroutine is left behind.
//
// It must not know transports or storage: the record is the truth, this is only the doorbell.
//
// To wait for a change of a step:
//
//	for {
//		woken := bus.Wait(ctx, step.ID) // first the doorbell,
//		if done(read(step.ID)) {        // then the look
//			return
//		}
//		select {
//		case <-woken:
//		case <-ctx.Done():
//			return
//		}
//	}
package event
