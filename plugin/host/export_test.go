// SPDX-License-Identifier: Apache-2.0

package host

import "time"

// SetTimeouts sets how long a plugin may take to say what it can do, and to serve.
func (h *Host) SetTimeouts(d time.Duration) { h.askTimeout, h.startTimeout = d, d }

// PID is the number of the plugin's process, which must have been started.
func (p *Plugin) PID() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	<-p.now.done
	return p.now.r.cmd.Process.Pid
}
