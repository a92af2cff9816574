; The same guest on a processor that has no BMI1, whatever the host has.
; exit: 0
; options: --cpu bmi1=off
; serial:
;   ring 0 agrees
;   ring 3 agrees
%define BMI1_IS_OFF
%include "rep_bsf.asm"
