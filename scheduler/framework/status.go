package framework

import (
	"errors"
	"strings"
)

// Code tells how a plugin's call ended.
type Code int

const (
	// Success needs no Status: nil is Success.
	Success Code = iota
	// Error is a failure of the plugin itself; the pod is tried again.
	Error
	// Unschedulable: the pod does not fit; evicting other pods could help.
	Unschedulable
	// UnschedulableAndUnresolvable: the pod does not fit, and no eviction helps.
	UnschedulableAndUnresolvable
	// Wait asks Permit to hold the pod.
	Wait
	// Skip: the plugin has nothing to say about this pod in later points of this
	// cycle (PreFilter, PreScore), or does not bind it (Bind).
	Skip
)

// Status is how a plugin's call ended, and why. A nil *Status is Success.
type Status struct {
	Code    Code
	Reasons []string
	// Plugin is the name of the plugin that said so; the framework sets it.
	Plugin string
	// Err is the cause of an Error.
	Err error
}

// NewStatus returns a Status with reasons.
func NewStatus(code Code, reasons ...string) *Status { return &Status{Code: code, Reasons: reasons} }

// AsStatus wraps an error; nil is Success.
func AsStatus(err error) *Status {
	if err == nil {
		return nil
	}
	return &Status{Code: Error, Reasons: []string{err.Error()}, Err: err}
}

// IsSuccess tells whether the call succeeded.
func (s *Status) IsSuccess() bool { return s == nil || s.Code == Success }

// IsSkip tells whether the plugin wants to be left out.
func (s *Status) IsSkip() bool { return s != nil && s.Code == Skip }

// IsRejected tells whether the pod does not fit.
func (s *Status) IsRejected() bool {
	return s != nil && (s.Code == Unschedulable || s.Code == UnschedulableAndUnresolvable)
}

// AsError returns the status as an error, nil for Success.
func (s *Status) AsError() error {
	switch {
	case s.IsSuccess():
		return nil
	case s.Err != nil:
		return s.Err
	default:
		return errors.New(strings.Join(s.Reasons, ", "))
	}
}

func (s *Status) by(plugin string) *Status {
	if s != nil && s.Plugin == "" {
		s.Plugin = plugin
	}
	return s
}
