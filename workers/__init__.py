"""What happens later: deliveries, reminders, sweeps and reports, woken by jobs and driven by rows."""
